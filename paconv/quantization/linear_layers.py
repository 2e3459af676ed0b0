"""Linear layers as 1x1 convolutions of single pixels, which is what the kernels compute.

Gemm, MatMul of (B, K)    ->    Unsqueeze to (B, K, 1, 1), Conv (O, K, 1, 1), Squeeze to (B, O)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.onnx_file.constant_folding import keep_only
from paconv.onnx_file.graph_view import attribute, names_read
from paconv.onnx_file.names import unique
from paconv.onnx_file.plain import PlainModel

__all__ = ["convertible", "with_linear_as_convolutions"]


def convertible(source: PlainModel, node: onnx.NodeProto) -> bool:
    """Whether a Gemm or MatMul is a linear layer of vectors (B, K), with constant float32 weights and bias."""
    stored = {tensor.name: tensor for tensor in source.model.graph.initializer}
    constants = [stored.get(name) for name in node.input[1:] if name]
    if any(tensor is None or tensor.data_type != onnx.TensorProto.FLOAT for tensor in constants):
        return False
    if node.op_type == "Gemm" and attribute(node, "transA", 0):
        return False
    read = source.shapes.get(node.input[0], ())
    return len(read) == 2 and len(stored[node.input[1]].dims) == 2


def with_linear_as_convolutions(source: PlainModel, names: Collection[str]) -> PlainModel:
    """A copy in which the linear layers `names` are convolutions of the same names (`convertible` ones alone)."""
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    graph = model.graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    taken = {name for node in graph.node for name in (node.name, *node.input, *node.output)} | set(stored)
    shapes, nodes = dict(source.shapes), []
    axes = unique("rows_and_columns", taken)
    graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), axes))
    for node in graph.node:
        if node.name not in names:
            nodes.append(node)
            continue
        weight, bias = _weights(node, stored)
        constants = [unique(f"{node.name}.weight", taken)]
        graph.initializer.append(numpy_helper.from_array(weight, constants[0]))
        if bias is not None:
            constants.append(unique(f"{node.name}.bias", taken))
            graph.initializer.append(numpy_helper.from_array(bias, constants[1]))
        pixel, sums = (unique(f"{node.name}.{what}", taken) for what in ("pixel", "sums"))
        nodes += [
            onnx.helper.make_node("Unsqueeze", [node.input[0], axes], [pixel], unique(f"{node.name}.unsqueeze", taken)),
            onnx.helper.make_node("Conv", [pixel, *constants], [sums], node.name, kernel_shape=[1, 1]),
            onnx.helper.make_node("Squeeze", [sums, axes], list(node.output), unique(f"{node.name}.squeeze", taken)),
        ]
        shapes[pixel] = (*source.shapes[node.input[0]], 1, 1)
        shapes[sums] = (shapes[pixel][0], len(weight), 1, 1)
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in names_read(node)}
    keep_only(graph.initializer, lambda tensor: tensor.name in read)
    return replace(source, model=model, shapes=shapes)


def _weights(node: onnx.NodeProto, stored: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """(O, K, 1, 1) and (O,) float32; None for no bias."""
    weight = stored[node.input[1]]
    if node.op_type == "MatMul" or not attribute(node, "transB", 0):
        weight = weight.T
    bias = stored[node.input[2]] if len(node.input) > 2 and node.input[2] else None
    if node.op_type == "Gemm":
        weight = weight * np.float32(attribute(node, "alpha", 1.0))
        if bias is not None:
            bias = np.broadcast_to(bias * np.float32(attribute(node, "beta", 1.0)), (1, len(weight))).reshape(-1)
    return np.ascontiguousarray(weight)[:, :, None, None], None if bias is None else np.ascontiguousarray(bias)

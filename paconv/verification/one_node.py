"""A layer's PABitConv as a model of its own."""

from __future__ import annotations

import numpy as np
import onnx

from paconv import ops
from paconv.verification.layers import Layer

__all__ = ["one_node"]


def one_node(layer: Layer, op: ops.OpSchema, rank: int, **changed: np.ndarray) -> onnx.ModelProto:
    """X -> out of `rank` dimensions by `op`, PABitConv or PABitConvCounts. changed: constant inputs to replace."""
    node = onnx.NodeProto()
    node.CopyFrom(layer.node)
    names = [t.name for t in op.inputs]
    node.op_type = op.name
    node.input[:], node.output[:] = names, ["out"]
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [onnx.helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ["B", "C", "H", "W"])],
        [onnx.helper.make_tensor_value_info("out", op.outputs[0].dtype, [f"d{k}" for k in range(rank)])],
        [onnx.numpy_helper.from_array((layer.parameters | changed)[name], name) for name in names[1:]],
    )
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(ops.DOMAIN, ops.OPSET_VERSION)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)

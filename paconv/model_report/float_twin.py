"""The same network with float convolutions in place of the packed ones, for its times and its plan.

A float convolution takes as long whatever its weights are, so these are the levels themselves. What PA's comparisons
take in is not there: batch norms and ReLUs, which onnxruntime does within float convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from paconv.model_report.packed import PackedConv
from paconv.onnx_file.constant_folding import keep_only
from paconv.onnx_file.graph_view import names_read
from paconv.onnx_file.names import unique

__all__ = ["float_twin"]


def float_twin(model: onnx.ModelProto, packed: Mapping[str, PackedConv]) -> onnx.ModelProto:
    """A copy of `model`, in canonical form, whose `packed` nodes are Convs of the same names."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    by_output = {conv.Y: conv for conv in packed.values()}
    for number, node in enumerate(graph.node):
        conv = by_output.get(node.output[0])
        if conv is None:
            continue
        scale, bias = (conv.parameters[name].astype(np.float32) for name in ("scale", "bias"))
        weight, shift = unique(f"{conv.Y}.float", taken), unique(f"{conv.Y}.shift", taken)
        values = conv.weights * np.broadcast_to(scale, len(conv.weights))[:, None, None, None]
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), weight))
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(bias), shift))
        geometry = {name: conv.attributes[name] for name in ("strides", "pads", "dilations", "group")}
        kernel = list(conv.weights.shape[2:])
        new = helper.make_node("Conv", [conv.X, weight, shift], [conv.Y], node.name, kernel_shape=kernel, **geometry)
        graph.node[number].CopyFrom(new)
    read = {name for node in graph.node for name in names_read(node)} | {value.name for value in graph.output}
    keep_only(graph.initializer, lambda tensor: tensor.name in read)
    return made

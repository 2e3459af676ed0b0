"""PABitConv nodes as the folding passes see them: which input is which, and constants as arrays."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from paconv.ops import PA_BIT_CONV
from paconv.passes.graph.matching import constant_value, is_paconv_op, static_value
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["bit_convs", "channels_in", "channels_out", "parameter", "parameter_tensor", "set_parameter"]

_INDEX = {tensor.name: i for i, tensor in enumerate(PA_BIT_CONV.inputs)}


def bit_convs(graph: ModelGraph) -> list[gs.Node]:
    """The graph's PABitConv nodes whose parameters are all constant, in order."""
    return [
        n
        for n in graph.nodes
        if is_paconv_op(n, "PABitConv") and all(static_value(t) is not None for t in n.inputs[1:])
    ]


def channels_in(node: gs.Node) -> int:
    """C."""
    return node.attrs["weight_shape"][1] * node.attrs["group"]


def channels_out(node: gs.Node) -> int:
    """O."""
    return node.attrs["weight_shape"][0]


def parameter_tensor(node: gs.Node, name: str) -> gs.Tensor:
    """The tensor that is input `name` of a PABitConv."""
    return node.inputs[_INDEX[name]]


def parameter(node: gs.Node, name: str) -> np.ndarray:
    """The constant input `name` of a PABitConv."""
    return constant_value(parameter_tensor(node, name))


def set_parameter(node: gs.Node, graph: ModelGraph, name: str, values: np.ndarray) -> None:
    """Give a PABitConv a new constant for input `name`; other nodes that read the old one aren't affected."""
    graph.replace_input(node, _INDEX[name], values, f"{graph.label(node)}.{name}")

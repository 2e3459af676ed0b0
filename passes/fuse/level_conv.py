"""PALevelConv nodes as the fusing passes see them: which input is which, what is taken in already, and their names."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from paconv.ops import PA_LEVEL_CONV
from paconv.passes.graph.matching import is_paconv_op, static_value
from paconv.passes.graph.model_graph import ModelGraph

__all__ = [
    "CLIPPED",
    "CONVOLVED",
    "NO_BOUNDS",
    "WITH_RESIDUAL",
    "has_bounds",
    "has_levels",
    "has_residual",
    "input_index",
    "level_convs",
]

CONVOLVED, WITH_RESIDUAL, CLIPPED = range(3)
"""Indexes into the attribute `names`."""

NO_BOUNDS = np.array([-np.inf, np.inf], np.float32)
"""`clip` where nothing is clipped."""

_INDEX = {tensor.name: i for i, tensor in enumerate(PA_LEVEL_CONV.inputs)}


def input_index(name: str) -> int:
    """Which input of a PALevelConv this is."""
    return _INDEX[name]


def level_convs(graph: ModelGraph) -> list[gs.Node]:
    """The graph's PALevelConv nodes, in order."""
    return [n for n in graph.nodes if is_paconv_op(n, "PALevelConv")]


def has_residual(node: gs.Node) -> bool:
    """Whether the node adds something: its R isn't the single constant 0."""
    R = static_value(node.inputs[_INDEX["R"]])
    return R is None or R.size != 1 or bool(R.any())


def has_bounds(node: gs.Node) -> bool:
    """Whether the node clips its result."""
    clip = static_value(node.inputs[_INDEX["clip"]])
    return clip is None or not np.array_equal(clip, NO_BOUNDS)


def has_levels(node: gs.Node) -> bool:
    """Whether the node gives level indexes of its result."""
    return any(not t.is_empty() for t in node.outputs[1:])

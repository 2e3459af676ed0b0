"""Nodes with a channel-last finish, PALevelConv and PADepthwiseConv, as the fusing passes see them: which input is
which, what is taken in already, and their names.
"""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
import onnx_graphsurgeon as gs

from paconv.ops import PA_DEPTHWISE_CONV, PA_LEVEL_CONV
from paconv.passes.graph.matching import is_paconv_op, static_value
from paconv.passes.graph.model_graph import ModelGraph

__all__ = [
    "CLIPPED",
    "CONVOLVED",
    "NO_BOUNDS",
    "WITH_RESIDUAL",
    "finish_constants",
    "has_bounds",
    "has_levels",
    "has_finish",
    "has_residual",
    "input_index",
    "with_finish",
]

CONVOLVED, WITH_RESIDUAL, CLIPPED = range(3)
"""Indexes into the attribute `names`."""

NO_BOUNDS = np.array([-np.inf, np.inf], np.float32)
"""`clip` where nothing is clipped."""

_INDEX = {
    schema.name: {tensor.name: i for i, tensor in enumerate(schema.inputs)}
    for schema in (PA_LEVEL_CONV, PA_DEPTHWISE_CONV)
}


def input_index(node: gs.Node, name: str) -> int:
    """Which input of a node with a finish this is."""
    return _INDEX[node.op][name]


def has_finish(node: gs.Node | None) -> TypeGuard[gs.Node]:
    """Whether the node is a PALevelConv or a PADepthwiseConv."""
    return any(is_paconv_op(node, op) for op in _INDEX)


def with_finish(graph: ModelGraph) -> list[gs.Node]:
    """The graph's nodes with a finish, in order."""
    return [n for n in graph.nodes if has_finish(n)]


def finish_constants(label: str, graph: ModelGraph) -> list[gs.Tensor]:
    """R, clip, v1, sign1, v2 and sign2 of a new node that adds, clips and compares nothing."""

    def constant(name: str, values: np.ndarray) -> gs.Constant:
        return graph.constant(values, f"{label}.{name}")

    R = constant("no_residual", np.zeros((1, 1, 1, 1), np.float32))
    none = [constant("no_v", np.full((1, 1), np.nan, np.float32)), constant("no_sign", np.ones(1, np.int8))]
    return [R, constant("clip", NO_BOUNDS), *none, *none]


def has_residual(node: gs.Node) -> bool:
    """Whether the node adds something: its R isn't the single constant 0."""
    R = static_value(node.inputs[input_index(node, "R")])
    return R is None or R.size != 1 or bool(R.any())


def has_bounds(node: gs.Node) -> bool:
    """Whether the node clips its result."""
    clip = static_value(node.inputs[input_index(node, "clip")])
    return clip is None or not np.array_equal(clip, NO_BOUNDS)


def has_levels(node: gs.Node) -> bool:
    """Whether the node gives level indexes of its result."""
    return any(not t.is_empty() for t in node.outputs[1:])

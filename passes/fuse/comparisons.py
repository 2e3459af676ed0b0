"""Comparisons with endpoints, of PALevels and of finishes' results: when two are the same."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fuse.finishes import has_finish, input_index
from paconv.passes.graph.matching import static_value

__all__ = ["LEVEL_OUTPUTS", "comparison", "comparison_of", "comparisons_made"]

LEVEL_OUTPUTS = (1, 2)
"""Indexes of the outputs of a node with a finish that hold levels of its result."""


def comparison(v: np.ndarray, sign: np.ndarray) -> tuple:
    """Equal for equal endpoints and signs."""
    return tuple((a.shape, a.tobytes()) for a in (v, sign))


def comparison_of(v: gs.Tensor, sign: gs.Tensor) -> tuple | None:
    """The same for tensors; None where they aren't constant."""
    endpoints, signs = static_value(v), static_value(sign)
    return None if endpoints is None or signs is None else comparison(endpoints, signs)


def comparisons_made(node: gs.Node | None) -> dict[tuple | None, int]:
    """How a node compares its own result -> index of the output with the levels; empty if it has no finish."""
    if not has_finish(node):
        return {}
    return {
        comparison_of(*(node.inputs[input_index(node, f"{name}{k}")] for name in ("v", "sign"))): k
        for k in LEVEL_OUTPUTS
        if not node.outputs[k].is_empty()
    }

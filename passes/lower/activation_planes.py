"""A PAActivation with constant inputs as endpoints, plane coefficients and plane masks.

The planes of its levels are given with the node (inputs beta and level_masks), or else one for each level but the one
below the first endpoint, which is 0: beta = levels, one-hot masks. Levels and planes must agree bit for bit:
level_table(beta, masks) = levels (paconv.bits), or the node is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from paconv.bits import MAX_PLANES, level_table, one_hot_masks
from paconv.ops.pa_bit_conv import MAX_ENDPOINTS
from paconv.passes.graph.graph_pass import Unsuitable
from paconv.passes.graph.matching import optional_input, static_value

__all__ = ["ActivationPlanes", "activation_planes"]


@dataclass(frozen=True)
class ActivationPlanes:
    """An activation quantizer in PABitConv's terms."""

    v: np.ndarray
    """(E,), ascending, NaN last."""
    beta: np.ndarray
    """(N+1,), the offset first."""
    masks: list[int]
    """The plane mask of each of the E+1 levels."""


def activation_planes(node: gs.Node) -> ActivationPlanes:
    """Planes of a PAActivation node. Raises Unsuitable if its inputs aren't of the form above.

    The count of endpoints reached doesn't depend on their order, so sorting them changes nothing.
    """
    v, levels = (static_value(t) for t in node.inputs[1:3])
    if v is None or levels is None:
        raise Unsuitable("endpoints-not-constant")
    if v.dtype != np.float32 or levels.dtype != np.float32:
        raise Unsuitable("not-float32")
    if v.ndim != 1 or not v.size or levels.shape != (v.size + 1,) or not np.isfinite(levels).all():
        raise Unsuitable("malformed-activation-levels")
    beta, masks = _given_planes(node, levels) or _one_plane_a_level(levels)
    return ActivationPlanes(np.sort(v), beta, masks)


def _given_planes(node: gs.Node, levels: np.ndarray) -> tuple[np.ndarray, list[int]] | None:
    inputs = [optional_input(node, index) for index in (3, 4)]
    if all(tensor is None for tensor in inputs):
        return None
    beta, masks = (None if t is None else static_value(t) for t in inputs)
    if beta is None or masks is None:
        raise Unsuitable("endpoints-not-constant")
    if beta.dtype != np.float32 or masks.dtype != np.uint8 or beta.ndim != 1 or masks.shape != levels.shape:
        raise Unsuitable("malformed-activation-levels")
    planes = beta.size - 1
    if planes > MAX_PLANES or len(levels) > MAX_ENDPOINTS + 1:
        raise Unsuitable("more-than-8-planes")
    if planes < 1 or masks.max() >= 1 << planes or not np.isfinite(beta).all():
        raise Unsuitable("malformed-activation-levels")
    if not np.array_equal(level_table(beta, masks), levels):
        raise Unsuitable("levels-not-of-planes")
    return beta, masks.tolist()


def _one_plane_a_level(levels: np.ndarray) -> tuple[np.ndarray, list[int]]:
    planes = len(levels) - 1
    if planes > MAX_PLANES:
        raise Unsuitable("more-than-8-planes")
    if levels[0] != 0:
        raise Unsuitable("level-zero-not-zero")
    return levels, one_hot_masks(planes)

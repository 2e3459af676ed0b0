"""A PAWeight with constant inputs as packed codes.

Piece k of a weight is the number of endpoints u_i < W; level c_k is its value. The planes of the pieces are given with
the node (inputs alpha and weight_masks), or else one for each piece but the one whose level is exactly 0 (of several,
the one nearest the middle; in an exported PA model it is the middle piece, k_0 = M/2):

    mask(k) = 0              for k = k_0
              2^k            for k < k_0          alpha = [0, c_0, .., c_{k_0 - 1}, c_{k_0 + 1}, .., c_M]
              2^(k - 1)      for k > k_0

A weight's code is the rank of its piece's mask among all masks that occur, in ascending order. So PA's codes are 0 for
the value 0 and i for alpha_i, exactly, and take ceil(log2(M+1)) bits.

Levels and planes must agree bit for bit: level_table(alpha, masks) = levels (paconv.bits), or the node is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from paconv.bits import MAX_PLANES, code_bits, level_table, one_hot_masks, pack_codes
from paconv.passes.graph.graph_pass import Unsuitable
from paconv.passes.graph.matching import optional_input, static_value

__all__ = ["PackedWeight", "packed_weight"]


@dataclass(frozen=True)
class PackedWeight:
    """Quantized weights in PABitConv's terms."""

    W: np.ndarray
    """(R, ceil(n / 8)) uint8, of n weights of R bits."""
    alpha: np.ndarray
    """(1 or O, M+1), the offset first."""
    shape: list[int]
    """[O, C/g, KH, KW]."""
    masks: list[int]
    """The plane mask of each code."""


def packed_weight(node: gs.Node) -> PackedWeight:
    """Pack the weight of a PAWeight node. Raises Unsuitable if its inputs aren't of the form above."""
    W, u, levels = (static_value(t) for t in node.inputs[:3])
    if W is None or u is None or levels is None:
        raise Unsuitable("weight-not-constant")
    if not all(a.dtype == np.float32 for a in (W, u, levels)):
        raise Unsuitable("not-float32")
    if W.ndim != 4:
        raise Unsuitable("not-2d")
    u, levels = _rows(u, len(W)), _rows(levels, len(W))
    if u is None or levels is None or u.shape[1] < 1 or levels.shape[1] != u.shape[1] + 1:
        raise Unsuitable("malformed-weight-levels")
    if not (np.isfinite(u).all() and np.isfinite(levels).all()):
        raise Unsuitable("malformed-weight-levels")
    if not np.isfinite(W).all():
        raise Unsuitable("non-finite-weights")
    alpha, masks = _given_planes(node, levels, len(W)) or _one_plane_a_piece(levels)

    piece = np.zeros(W.shape, np.uint8)
    for endpoint in u.T:
        piece += endpoint[:, None, None, None] < W
    mask = np.take_along_axis(np.broadcast_to(masks, (len(W), masks.shape[1])), piece.reshape(len(W), -1), 1)
    used = np.unique(masks)
    codes = np.searchsorted(used, mask).astype(np.uint8)
    return PackedWeight(pack_codes(codes, code_bits(len(used))), alpha, list(W.shape), used.tolist())


def _rows(values: np.ndarray, out: int) -> np.ndarray | None:
    """(n,) or (1 or O, 1, 1, 1, n) as (1 or O, n), else None."""
    if values.ndim == 1:
        return values[None]
    if values.ndim == 5 and values.shape[0] in (1, out) and values.shape[1:4] == (1, 1, 1):
        return values[:, 0, 0, 0]
    return None


def _given_planes(node: gs.Node, levels: np.ndarray, out: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(alpha (1 or O, M+1) float32, masks (1 or O, E+1)) that the node names, None if it names none."""
    inputs = [optional_input(node, index) for index in (3, 4)]
    if all(tensor is None for tensor in inputs):
        return None
    alpha, masks = (None if t is None else static_value(t) for t in inputs)
    if alpha is None or masks is None:
        raise Unsuitable("weight-not-constant")
    fits = alpha.dtype == np.float32 and masks.dtype == np.uint8 and alpha.ndim == masks.ndim == 2
    if not fits or not all(len(a) in (1, out) for a in (alpha, masks)) or masks.shape[1] != levels.shape[1]:
        raise Unsuitable("malformed-weight-levels")
    planes = alpha.shape[1] - 1
    if planes > MAX_PLANES:
        raise Unsuitable("more-than-8-weight-planes")
    if planes < 1 or masks.max() >= 1 << planes or not np.isfinite(alpha).all():
        raise Unsuitable("malformed-weight-levels")
    table = level_table(alpha, masks)
    if not (table == levels).all():
        raise Unsuitable("levels-not-of-planes")
    return alpha, masks


def _one_plane_a_piece(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(alpha (1, M+1), masks (1, M+1)) of PA's levels (1, M+1)."""
    M = levels.shape[1] - 1
    if M > MAX_PLANES:
        raise Unsuitable("more-than-8-weight-planes")
    zeros = np.flatnonzero(levels[0] == 0)
    if not zeros.size or len(levels) > 1:
        raise Unsuitable("no-zero-weight-level")
    middle = int(zeros[np.argmin(np.abs(zeros - M / 2))])
    alpha = np.concatenate([np.zeros(1, np.float32), np.delete(levels[0], middle)])[None]
    masks = np.array(one_hot_masks(M, middle), np.uint8)[None]
    return alpha, masks

"""A PAWeight with constant inputs as packed codes.

Piece k of a weight is the number of endpoints u_i < W; level c_k is its value. Let k_0 be the piece whose level is
exactly 0 (of several, the one nearest the middle; in an exported model it is the middle piece, k_0 = M/2). Then

    code(k) = 0        for k = k_0
              k + 1    for k < k_0          alpha = [0, c_0, .., c_{k_0 - 1}, c_{k_0 + 1}, .., c_M]
              k        for k > k_0

so code i > 0 has the value alpha_i, exactly, and codes 0..M take ceil(log2(M+1)) bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from paconv.bits import MAX_PLANES, code_bits, one_hot_masks, pack_codes
from paconv.passes.base import Unsuitable
from paconv.passes.matching import static_value

__all__ = ["PackedWeight", "packed_weight"]


@dataclass(frozen=True)
class PackedWeight:
    """W: (R, ceil(n / 8)) uint8 for n weights of R bits; alpha: (1, M+1); shape: [O, C/g, KH, KW]; masks: M+1."""

    W: np.ndarray
    alpha: np.ndarray
    shape: list[int]
    masks: list[int]


def packed_weight(node: gs.Node) -> PackedWeight:
    """Pack the weight of a PAWeight node. Raises Unsuitable if its inputs aren't of the form above."""
    W, u, levels = (static_value(t) for t in node.inputs)
    if W is None or u is None or levels is None:
        raise Unsuitable("weight-not-constant")
    if not all(a.dtype == np.float32 for a in (W, u, levels)):
        raise Unsuitable("not-float32")
    if W.ndim != 4:
        raise Unsuitable("not-2d")
    M = u.size
    if u.ndim != 1 or levels.shape != (M + 1,) or M < 1 or not (np.isfinite(u).all() and np.isfinite(levels).all()):
        raise Unsuitable("malformed-weight-levels")
    if M > MAX_PLANES:
        raise Unsuitable("more-than-8-weight-planes")
    if not np.isfinite(W).all():
        raise Unsuitable("non-finite-weights")

    zeros = np.flatnonzero(levels == 0)
    if not zeros.size:
        raise Unsuitable("no-zero-weight-level")
    middle = int(zeros[np.argmin(np.abs(zeros - M / 2))])
    piece = np.zeros(W.shape, np.uint8)
    for endpoint in u:
        piece += endpoint < W
    code_of_piece = np.array([0 if k == middle else k + (k < middle) for k in range(M + 1)], np.uint8)
    alpha = np.concatenate([np.zeros(1, np.float32), np.delete(levels, middle)])[None]
    return PackedWeight(pack_codes(code_of_piece[piece], code_bits(M + 1)), alpha, list(W.shape), one_hot_masks(M))

"""Endpoints that decide about x as the given ones decide about s x + b.

Symbols, for one channel: float32 endpoint v, float64 s and b, float32 x; decision D(x) = [s x + b >= v], taken in
float64. Wanted: sign in {+1, -1} and a float32 endpoint v' with

    [sign x >= v'] = D(x)   for every finite x.

fl(s x) and fl(. + b) are monotone in x, so D is a step and v' is found by bisection over the ordered floats: no
formula for the boundary is rounded, and overflow, subnormal numbers and tiny s need no care of their own.

    s > 0: sign = +1, v' = min { x : s x + b >= v }. Finite v' <= FLT_MAX if any finite x reaches v, else +inf; if all
           finite x reach it, -FLT_MAX; an endpoint v = -inf stays -inf.
    s < 0: s x = |s| (-x) exactly, so sign = -1 and v' = min { y : |s| y + b >= v }: the case above for y = -x.
    s = 0: the level is constant: v' = -inf where b >= v (reached by all but NaN), NaN where not (reached by none).
           Where x is infinite the decision differs: 0 * inf is NaN, which reached nothing.
    v = NaN (never reached) stays NaN.

NaN x reaches no endpoint, before and after. Ascending v, NaN last, gives ascending v', NaN last.

Endpoints that already carry a sign q decide by q (s x + b) = (q s) x + q b, exactly, which is the form above again.
"""

from __future__ import annotations

import numpy as np

__all__ = ["fold_affine"]


def fold_affine(v: np.ndarray, sign: np.ndarray, s: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fold a_c = s_c x_c + b_c into the endpoints of a.

    v: (1 or C, E) float32; sign: (1 or C,) int8; s, b: (1 or C,) finite float64 -> v' (C', E) float32, sign' (C',)
    int8, where C' is 1 if all channels agree, else the broadcast channel count.
    """
    channels = max(len(v), len(sign), len(s), len(b))
    v = np.broadcast_to(v, (channels, v.shape[1]))
    s = np.broadcast_to(sign * s, (channels,))[:, None]
    b = np.broadcast_to(sign * b, (channels,))[:, None]

    folded = _first_reaching(np.abs(s), b, v)
    constant = np.where(b >= v, np.float32(-np.inf), np.float32(np.nan))
    folded = np.where(s == 0, constant, folded)
    signs = np.where(s[:, 0] < 0, -1, 1).astype(np.int8)
    if (signs == signs[0]).all() and np.array_equal(folded, np.broadcast_to(folded[0], folded.shape), equal_nan=True):
        return folded[:1], signs[:1]
    return folded, signs[:1] if (signs == signs[0]).all() else signs


def _first_reaching(s: np.ndarray, b: np.ndarray, v: np.ndarray) -> np.ndarray:
    """min { x : s x + b >= v } over the float32 numbers and infinities, s > 0; NaN where v is NaN. (C, E) float32."""
    low = np.full(v.shape, _rank(np.float32(-np.inf)) - 1)  # reaches nothing
    high = np.full(v.shape, _rank(np.float32(np.inf)))  # reaches every v but NaN
    while (high - low > 1).any():
        middle = (low + high) // 2
        with np.errstate(invalid="ignore"):  # 0 * inf where s = 0, whose result isn't used
            reaches = s * _float_of(middle).astype(np.float64) + b >= v
        high = np.where(reaches, middle, high)
        low = np.where(reaches, low, middle)
    return np.where(np.isnan(v), np.float32(np.nan), _float_of(high) + np.float32(0))  # + 0: -0 becomes 0


def _rank(x: np.ndarray) -> np.ndarray:
    """Position of float32 numbers in their order, int64: -1 for -0, 0 for +0."""
    bits = np.asarray(x, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF) - 1)


def _float_of(rank: np.ndarray) -> np.ndarray:
    """Inverse of _rank."""
    bits = np.where(rank >= 0, rank, (-(rank + 1)) | 0x80000000)
    return bits.astype(np.uint32).view(np.float32)

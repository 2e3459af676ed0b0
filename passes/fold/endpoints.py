"""Endpoints that decide about x as the given ones decide about s x + b.

Symbols, for one channel: endpoint v, s, b and x in float64; decision D(x) = [s x + b >= v], taken in float64. Wanted:
sign in {+1, -1} and a float64 endpoint v' with

    [sign x >= v'] = D(x)   for every finite x.

fl(s x) and fl(. + b) are monotone in x, so D is a step and v' is found by bisection over the ordered floats: no
formula for the boundary is rounded, and overflow, subnormal numbers and tiny s need no care of their own. In float64,
because of a chain of such steps the whole is to decide exactly; in the end `narrowed` gives the float32 endpoint that
decides alike for every float32 x.

    s > 0: sign = +1, v' = min { x : s x + b >= v }. Finite v' if any finite x reaches v, else +inf; if all finite x
           reach it, the lowest float; an endpoint v = -inf stays -inf.
    s < 0: s x = |s| (-x) exactly, so sign = -1 and v' = min { y : |s| y + b >= v }: the case above for y = -x.
    s = 0: the level is constant: v' = -inf where b >= v (reached by all but NaN), NaN where not (reached by none).
           Where x is infinite the decision differs: 0 * inf is NaN, which reached nothing.
    v = NaN (never reached) stays NaN.

NaN x reaches no endpoint, before and after. Ascending v, NaN last, gives ascending v', NaN last.

Endpoints that already carry a sign q decide by q (s x + b) = (q s) x + q b, exactly, which is the form above again.
"""

from __future__ import annotations

import numpy as np

__all__ = ["fold_affine", "in_fewest_rows", "narrowed"]

_MAGNITUDE = np.int64((1 << 63) - 1)
"""All bits but the sign."""


def fold_affine(v: np.ndarray, sign: np.ndarray, s: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fold a_c = s_c x_c + b_c into the endpoints of a.

    v: (1 or C, E) floats; sign: (1 or C,) int8; s, b: (1 or C,) finite float64 -> v' (C', E) float64, sign' (C',)
    int8, where C' is 1 if all channels agree, else the broadcast channel count.
    """
    channels = max(len(v), len(sign), len(s), len(b))
    v = np.broadcast_to(v, (channels, v.shape[1]))
    s = np.broadcast_to(sign * s, (channels,))[:, None]
    b = np.broadcast_to(sign * b, (channels,))[:, None]

    folded = np.where(v == np.inf, np.inf, _first_reaching(np.abs(s), b, v))
    constant = np.where(b >= v, -np.inf, np.nan)
    folded = np.where(s == 0, constant, folded)
    signs = np.where(s[:, 0] < 0, -1, 1).astype(np.int8)
    return in_fewest_rows(folded, signs)


def in_fewest_rows(v: np.ndarray, sign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """v (C, E) and sign (C,) with one row each where all channels agree, one sign where the signs alone do."""
    same_sign = (sign == sign[0]).all()
    if same_sign and np.array_equal(v, np.broadcast_to(v[0], v.shape), equal_nan=True):
        return v[:1], sign[:1]
    return v, sign[:1] if same_sign else sign


def narrowed(v: np.ndarray) -> np.ndarray:
    """The least float32 at or above each float64 endpoint; the lowest one for finite endpoints below; NaN stays."""
    with np.errstate(over="ignore"):
        nearest = v.astype(np.float32)
    return np.where(nearest < v, np.nextafter(nearest, np.float32(np.inf)), nearest) + np.float32(0)  # + 0: no -0


def _first_reaching(s: np.ndarray, b: np.ndarray, v: np.ndarray) -> np.ndarray:
    """min { x : s x + b >= v } over the float64 numbers and infinities, s > 0; NaN where v is NaN. (C, E) float64."""
    low = np.full(v.shape, _rank(-np.inf) - 1)  # reaches nothing
    high = np.full(v.shape, _rank(np.inf))  # reaches every v but NaN
    while (low + 1 < high).any():
        middle = (low >> 1) + (high >> 1) + (low & high & 1)  # floor((low + high) / 2), whose sum may need 65 bits
        with np.errstate(invalid="ignore", over="ignore"):  # 0 * inf where s = 0, whose result isn't used
            reaches = s * _float_of(middle) + b >= v
        high = np.where(reaches, middle, high)
        low = np.where(reaches, low, middle)
    return np.where(np.isnan(v), np.nan, _float_of(high))


def _rank(x: float) -> np.int64:
    """Position of a float64 number in their order: -1 for -0, 0 for +0."""
    bits = np.float64(x).view(np.int64)
    return bits if bits >= 0 else -(bits & _MAGNITUDE) - 1


def _float_of(rank: np.ndarray) -> np.ndarray:
    """Inverse of _rank."""
    return np.where(rank >= 0, rank, (-(rank + 1)) | ~_MAGNITUDE).view(np.float64)

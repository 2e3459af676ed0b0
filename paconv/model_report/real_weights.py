"""Real weights beside the levels that became of them: one histogram for a layer, and how much the levels lose.

A table of levels may have a row for each output channel, and in a packed file it lacks the scale of the output. So with
levels t[o,k] and real weights W[o,k]

    c_o = sum_k W t / sum_k t^2     the scale of channel o by which its levels come nearest to its weights
    error = sum (W - c_o t)^2 / sum W^2

and the histogram is of W / c_o, on whose axis the levels of a table with one row are where they are. A reference that
names levels and endpoints in the units of W needs no c_o; where it has a row for each channel, all are divided by the
channel's largest level. Endpoints that nobody names are the middles between the weights of neighbouring levels, where
these don't overlap in any channel.
"""

from __future__ import annotations

import numpy as np

from paconv.model_report.contents import Distribution
from paconv.model_report.packed import PackedConv
from paconv.model_report.parent import RealWeights

__all__ = ["BINS", "real_weights"]

BINS = 64
"""Of every histogram."""

_TAIL = 0.001
"""Part of the values on either side that goes into the outer bins."""


def real_weights(conv: PackedConv, real: RealWeights) -> tuple[Distribution | None, float | None]:
    """(the histogram, the error); None and None where `real` holds the levels themselves."""
    W = real.W.reshape(len(real.W), -1).astype(np.float64)
    if real.u is not None and real.levels is not None:
        if np.isin(real.W, real.levels).all():
            return None, None
        return _named(W, real.u.astype(np.float64), real.levels.astype(np.float64))
    t = conv.weights.reshape(W.shape).astype(np.float64)
    scale = _divided((W * t).sum(1), (t * t).sum(1))
    error = float(_divided(((W - scale[:, None] * t) ** 2).sum(), (W * W).sum()))
    used = scale != 0
    scaled, codes = W[used] / scale[used, None], conv.codes.reshape(W.shape)[used]
    if not scaled.size:
        return None, error
    same = len(conv.table) == 1
    levels = tuple(map(float, conv.table[0])) if same else ()
    ends = _middles(scaled, codes, conv.table.shape[1]) if same else ()
    return _histogram(scaled, ends, levels, "real weight, in units of the level codes"), error


def _named(W: np.ndarray, u: np.ndarray, levels: np.ndarray) -> tuple[Distribution, float]:
    codes = (W[:, :, None] > u[:, None, :]).sum(2) if len(u) > 1 else np.searchsorted(u[0], W, side="left")
    rows = np.broadcast_to(levels, (len(W), levels.shape[1]))
    error = float(_divided(((W - np.take_along_axis(rows, codes, 1)) ** 2).sum(), (W * W).sum()))
    if len(levels) == 1 == len(u):
        return _histogram(W, tuple(u[0]), tuple(levels[0]), "real weight"), error
    by = np.abs(levels).max(1, keepdims=True)
    by[by == 0] = 1
    axis = "real weight, in shares of its channel's largest level"
    return _histogram(W / by, tuple((u / by).mean(0)), tuple((levels / by).mean(0)), axis), error


def _histogram(values: np.ndarray, ends: tuple, levels: tuple, axis: str) -> Distribution:
    low, high = np.quantile(values, (_TAIL, 1 - _TAIL))
    low, high = min(low, *levels, *ends), max(high, *levels, *ends)
    if not high > low:
        low, high = low - 1, high + 1
    counts, _ = np.histogram(np.clip(values, low, high), BINS, (low, high))
    return Distribution(
        tuple(map(int, counts)), float(low), float(high), tuple(map(float, ends)), tuple(map(float, levels)), axis, "u"
    )


def _middles(values: np.ndarray, codes: np.ndarray, count: int) -> tuple[float, ...]:
    found = []
    for code in range(1, count):
        below, above = values[codes < code], values[codes >= code]
        if not below.size or not above.size or below.max() > above.min():
            return ()
        found.append(float(below.max() + above.min()) / 2)
    return tuple(found)


def _divided(a, b):
    """a / b, 0 where b is."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)

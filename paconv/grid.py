"""Levels on an integer grid: a few float32 values as the smallest integers times one unit.

    level_i = float32(unit * k_i),      k_i integers, |k_i| <= most

Where the levels of weights and of activations are of this form, a convolution is one exact sum of integers times a
single factor. `integers_of` finds the form from the levels alone; `nearest_grid` finds the grid that given levels lie
closest to.

A grid that `nearest_grid` makes has a unit of at most UNIT_BITS significant bits, so that unit * k is a float32 exactly
for |k| < 2**(24 - UNIT_BITS). Levels that were computed in another way, as k / 3 is, are off such a product by their
own rounding; what `integers_of` asks is only that each level be the float32 nearest to unit * k_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["MOST_ACTIVATION", "MOST_WEIGHT", "UNIT_BITS", "Grid", "integers_of", "nearest_grid"]

MOST_WEIGHT = 127
"""Largest |k| of a weight: a signed byte."""

MOST_ACTIVATION = 255
"""Largest k of activations that are never negative: an unsigned byte. With negative ones it is MOST_WEIGHT."""

UNIT_BITS = 16
"""Significant bits of a unit that nearest_grid makes."""

_FINENESS = 32
"""Units that nearest_grid tries for each value of the largest integer."""


@dataclass(frozen=True)
class Grid:
    """unit: float64, positive; integers: int64, of the shape of the levels that they stand for."""

    unit: float
    integers: np.ndarray


def integers_of(levels: np.ndarray, most: int) -> Grid | None:
    """The grid with the smallest integers whose products are `levels` (float32, any shape), or None if there is none.

    Every level must be float32(unit * k) with |k| <= most. Levels that are all 0 have the unit 1.
    """
    values = np.abs(levels.astype(np.float64).ravel())
    if not np.isfinite(values).all():
        return None
    nonzero = np.unique(values[values > 0])
    if not nonzero.size:
        return Grid(1.0, np.zeros(levels.shape, np.int64))
    # what rounds to the level: half a unit in the last place on either side, less below a power of two
    narrow = nonzero.astype(np.float32)
    above = (np.nextafter(narrow, np.float32(np.inf)).astype(np.float64) - nonzero) / 2
    below = (nonzero - np.nextafter(narrow, np.float32(0)).astype(np.float64)) / 2
    tops = np.arange(1, most + 1)[:, None]
    k = np.rint(nonzero * (tops / nonzero[-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        least, largest = ((nonzero - below) / k).max(1), ((nonzero + above) / k).min(1)
    for row in np.flatnonzero((k > 0).all(1) & (least <= largest)):
        middle = (least[row] + largest[row]) / 2
        for unit in (float(np.float32(middle)), float(middle)):
            integers = np.rint(levels.astype(np.float64) / unit).astype(np.int64)
            if unit > 0 and np.array_equal((integers * unit).astype(np.float32), levels):
                return Grid(unit, integers)
    return None


def nearest_grid(levels: np.ndarray, most: int, counts: np.ndarray | None = None) -> Grid:
    """The grid of integers |k| <= most that `levels` (n,) lie closest to, by the sum of counts * (level - unit k)^2.

    counts: (n,), how often each level occurs; equally often by default. The integers are nearest for their unit and the
    unit is the least-squares one for its integers, up to UNIT_BITS. Deterministic; of equals, the smallest integers.
    """
    values = levels.astype(np.float64)
    weights = np.ones(values.shape) if counts is None else counts.astype(np.float64)
    weights = np.where(weights.sum() > 0, weights / max(weights.sum(), 1e-300), 1 / values.size)
    top = np.abs(values).max()
    if top == 0:
        return Grid(1.0, np.zeros(values.shape, np.int64))
    candidates = top / (np.arange(_FINENESS // 2, most * _FINENESS + _FINENESS // 2 + 1) / _FINENESS)
    best, found = np.inf, None
    for _ in range(2):  # the unit for the integers, then the integers for the unit
        k = np.clip(np.rint(values / candidates[:, None]), -most, most)
        square, dot = (weights * k * k).sum(1), (weights * k * values).sum(1)
        candidates = np.where(square > 0, dot / np.maximum(square, 1e-300), candidates)
    for unit in dict.fromkeys(_short(unit) for unit in candidates[candidates > 0]):
        k = np.clip(np.rint(values / unit), -most, most)
        error = (weights * (values - unit * k) ** 2).sum()
        if error < best * (1 - 1e-12):
            best, found = error, Grid(unit, k.astype(np.int64))
    assert found is not None
    return found


def _short(unit: float) -> float:
    """`unit` rounded to UNIT_BITS significant bits."""
    mantissa, exponent = np.frexp(unit)
    return float(np.ldexp(np.rint(np.ldexp(mantissa, UNIT_BITS)), int(exponent) - UNIT_BITS))

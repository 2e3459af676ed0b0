"""Levels on an integer grid: a few float32 values as the smallest integers times one unit.

    level_i = float32(unit * k_i),      k_i integers, |k_i| <= most

Where the levels of weights and of activations are of this form, a convolution is one exact sum of integers times a
single factor. `integers_of` finds the form from the levels alone; `nearest_grid` finds the grid that given levels lie
closest to, and `nearest_sums` the same for levels that are sums of a few coefficients.

A unit that these two make has at most UNIT_BITS significant bits, so that unit * k is a float32 exactly for
|k| < 2**(24 - UNIT_BITS), and so is every sum of such products that stays below it. Levels that were computed in
another way, as k / 3 is, are off such a product by their own rounding; what `integers_of` asks is only that each level
be the float32 nearest to unit * k_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paconv.errors import UsageError

__all__ = [
    "DEFAULT_GRID",
    "MOST_ACTIVATION",
    "MOST_WEIGHT",
    "UNIT_BITS",
    "Grid",
    "GridChoice",
    "checked_grid",
    "exact_unit",
    "integers_of",
    "largest_integers",
    "nearest_grid",
    "nearest_sums",
    "parse_grid",
]

MOST_WEIGHT = 127
"""Largest |k| of a weight: a signed byte."""

MOST_ACTIVATION = 255
"""Largest k of activations that are never negative: an unsigned byte. With negative ones it is MOST_WEIGHT."""

UNIT_BITS = 16
"""Significant bits of a unit that nearest_grid makes."""

DEFAULT_GRID = "default"
"""The grid that a scheme takes where none is asked for (paconv.nn.snap_)."""

GridChoice = str | tuple[int, int] | None
"""DEFAULT_GRID; (A, B), the largest integers of weights and of activations; None, real levels as published."""

_SINGLE_BITS, _SMALLEST = 24, -149
"""Significant bits of a float32; the exponent of the smallest one."""

_CANDIDATES, _FINEST, _COARSEST = 1024, 32, 8
"""Units tried: about so many in all, but from _COARSEST to _FINEST for each value of the largest integer."""

_EQUAL = 2.0**-48
"""Squares of errors that differ by less, of the levels' own, are equal: the roundings of a float32 level."""


@dataclass(frozen=True)
class Grid:
    """Levels as integers times a unit."""

    unit: float
    """Positive, float64."""
    integers: np.ndarray
    """int64, of the levels' shape."""


def integers_of(levels: np.ndarray, most: int) -> Grid | None:
    """The grid with the smallest integers whose products are `levels` (float32, any shape), or None if there is none.

    Every level must be float32(unit * k) with |k| <= most. Levels that are all 0 have the unit 1. Where a unit with
    float32(unit * k) == unit * k exists, as of `nearest_grid`, it is such a one.
    """
    values = np.abs(levels.astype(np.float64).ravel())
    if not np.isfinite(values).all():
        return None
    nonzero = np.unique(values[values > 0])
    if not nonzero.size:
        return Grid(1.0, np.zeros(levels.shape, np.int64))
    # what rounds to the level: half a unit in the last place on either side, less below a power of two
    exponents = np.frexp(nonzero)[1]
    above = np.ldexp(0.5, np.maximum(exponents - _SINGLE_BITS, _SMALLEST))
    below = (nonzero - np.nextafter(nonzero.astype(np.float32), np.float32(0)).astype(np.float64)) / 2
    tops = np.arange(1, most + 1)[:, None]
    k = np.rint(nonzero * (tops / nonzero[-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        least, largest = ((nonzero - below) / k).max(1), ((nonzero + above) / k).min(1)
    for row in np.flatnonzero((k > 0).all(1) & (least <= largest)):
        middle = (least[row] + largest[row]) / 2
        for unit in (float(np.float32(middle)), float(middle)):
            integers = np.rint(levels.astype(np.float64) / unit).astype(np.int64) if unit > 0 else None
            if integers is not None and np.array_equal((integers * unit).astype(np.float32), levels):
                return Grid(unit, integers)
    return None


def nearest_grid(levels: np.ndarray, most: int, counts: np.ndarray | None = None) -> Grid:
    """The grid of integers |k| <= most that `levels` (n,) lie closest to, by the sum of counts * (level - unit k)^2.

    counts: (n,), how often each level occurs; equally often by default. The integers are nearest for their unit and the
    unit is the least-squares one for its integers, up to UNIT_BITS. Deterministic: of equal grids the one with the
    smallest integers.
    """
    values = levels.astype(np.float64)
    return _nearest(values, np.eye(values.size), most, _shares(counts, values.size))


def nearest_sums(coefficients: np.ndarray, masks: np.ndarray, most: int, counts: np.ndarray | None = None) -> Grid:
    """The grid for levels that are sums: level_e = coefficients_0 + sum_p coefficients_p bit_{p-1}(masks_e).

    coefficients: (P+1,); masks: (E,) uint8; counts: (E,), how often each level occurs; equally often by default. The
    integers k (P+1,), |k| <= most, stand for the coefficients; their sums, the integers of the levels, are at most
    `most` too. Minimizes the sum of counts * (level - its integer * unit)^2 over the units, each with the integers
    nearest to the coefficients.
    """
    bits = (masks.astype(np.int64) >> np.arange(coefficients.size - 1)[:, None]) & 1
    sums = np.concatenate([np.ones((1, masks.size)), bits])
    return _nearest(coefficients.astype(np.float64), sums, most, _shares(counts, masks.size))


def exact_unit(unit: float, largest: int) -> float:
    """The number closest to `unit` whose products with integers up to `largest` are float32 numbers exactly."""
    return float(_short(unit, _SINGLE_BITS - int(largest).bit_length()))


def largest_integers(N: int) -> tuple[int, int]:
    """(A, B) of the default grid: the largest integers of weights, and of activations of N levels above the lowest."""
    return 15, 63 if N >= 8 else 31


def checked_grid(grid: object) -> GridChoice:
    """`grid` as a GridChoice. Raises UsageError for anything else."""
    if grid is None or grid == DEFAULT_GRID:
        return grid  # type: ignore[return-value]
    limits = (MOST_WEIGHT, MOST_ACTIVATION)
    if isinstance(grid, (tuple, list)) and len(grid) == 2:
        whole = all(isinstance(k, int) and not isinstance(k, bool) for k in grid)
        if whole and all(1 <= k <= most for k, most in zip(grid, limits, strict=True)):
            return (grid[0], grid[1])
    raise UsageError(
        f"grid: expected {DEFAULT_GRID!r}, None, or the largest integers (A, B) of weights (1 to {MOST_WEIGHT}) and "
        f"activations (1 to {MOST_ACTIVATION}); found {grid!r}"
    )


def parse_grid(text: str) -> GridChoice:
    """What `--grid` says: A,B or none or default. Raises UsageError for anything else."""
    if text == DEFAULT_GRID:
        return DEFAULT_GRID
    if text == "none":
        return None
    try:
        return checked_grid([int(part) for part in text.split(",")])
    except (ValueError, UsageError) as error:
        raise UsageError(
            f"--grid: expected the largest integers A,B of weights (1 to {MOST_WEIGHT}) and activations (1 to "
            f"{MOST_ACTIVATION}), such as 15,31, or none, or default; found {text!r}"
        ) from error


def _shares(counts: np.ndarray | None, size: int) -> np.ndarray:
    """counts as shares of all; equal ones where nothing was counted."""
    if counts is None or not counts.sum() > 0:
        return np.full(size, 1 / size)
    return counts.astype(np.float64) / counts.sum()


def _nearest(values: np.ndarray, sums: np.ndarray, most: int, shares: np.ndarray) -> Grid:
    """The grid for `values` (V,) float64.

    What counts are their sums values @ sums (E,), by `shares` (E,); sums (V, E) of 0 and 1.
    """
    levels = values @ sums
    top = max(np.abs(values).max(), np.abs(levels).max())
    if top == 0:
        return Grid(1.0, np.zeros(values.shape, np.int64))
    if not shares @ levels**2 > 0:
        shares = np.full(levels.size, 1 / levels.size)
    fineness = min(_FINEST, max(_COARSEST, _CANDIDATES // most))
    units = top / (np.arange(fineness // 2, most * fineness + fineness // 2 + 1) / fineness)
    for _ in range(2):  # the unit for the integers, then the integers for the unit
        found = _integers(values, units, most) @ sums
        square, dot = (shares * found * found).sum(1), (shares * found * levels).sum(1)
        units = np.where((square > 0) & (dot > 0), dot / np.maximum(square, 1e-300), units)
    units = units[units >= 2.0**_SMALLEST]
    k = _integers(values, units, most)
    found = k @ sums
    error = (shares * (levels - units[:, None] * found) ** 2).sum(1)
    error[np.abs(found).max(1) > most] = np.inf
    best = np.flatnonzero(error <= error.min() + _EQUAL * (shares @ levels**2))
    chosen = best[units[best].argmax()]
    return Grid(float(_short(units[chosen], UNIT_BITS)), k[chosen].astype(np.int64))


def _integers(values: np.ndarray, units: np.ndarray, most: int) -> np.ndarray:
    """(U, V) float64: the integer up to `most` nearest to each of `values` (V,) over each of `units` (U,)."""
    return np.clip(np.rint(values / units[:, None]), -most, most)


def _short(unit: np.ndarray | float, bits: int) -> np.ndarray:
    """`unit` (...) rounded to `bits` significant bits, and to a multiple of the smallest float32; float64."""
    mantissa, exponent = np.frexp(unit)
    last = np.maximum(exponent - bits, _SMALLEST)
    return np.ldexp(np.rint(np.ldexp(mantissa, exponent - last)), last)

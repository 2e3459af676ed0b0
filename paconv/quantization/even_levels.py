"""Evenly spaced levels, 0 among them: a unit times the integers -z .. p. Their codes are binary numbers, whose digits
are planes.

The unit is the one with the least squared error of a few hundred that are tried, then the least-squares one for the
integers that the values have with it. With n levels on one side,

    error(unit, n) = sum over x of (x - unit k(x))^2,    k(x) = the integer of 0 .. n nearest to x / unit

so that all ways to share E = z + p levels out are tried at once: error(unit, p) of x > 0 and error(unit, z) of -x where
x < 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["even_levels"]

_UNITS, _FINEST = 400, 256
"""How many units are tried: from one with which no value is clipped to one that is so much finer, by equal factors."""

_REFITS = 4
"""Least-squares units, each for the integers of the one before."""


def even_levels(x: np.ndarray, count: int, largest: int) -> tuple[float, int, int]:
    """(unit, z, p) of `count` levels besides 0 for the values x (n,) float64; z is 0 where none of them is negative.

    largest: of z and p where some are negative, so that both together may be fewer than `count`.
    """
    sides = [_Side.of(x[x > 0]), _Side.of(-x[x < 0])]
    width = sum(side.x[-1] for side in sides if side.x.size)
    if not width > 0:
        return 1.0, 0, count
    below, above = np.zeros(1, np.intp), np.full(1, count)
    if sides[1].x.size:
        below = np.arange(min(count, largest) + 1)
        above = np.minimum(count - below, largest)
    best, unit, z, p = np.inf, 1.0, 0, count
    for candidate in width / above.max(initial=1) * np.geomspace(1, 1 / _FINEST, _UNITS):
        of_above, of_below = (side.errors(candidate, count) for side in sides)
        errors = of_above[above] + of_below[below]
        chosen = errors.argmin()
        if errors[chosen] < best:
            best, unit, z, p = float(errors[chosen]), float(candidate), int(below[chosen]), int(above[chosen])
    for _ in range(_REFITS):
        k = np.clip(np.rint(x / unit), -z, p)
        unit = float((x * k).sum() / (k * k).sum())
    return unit, z, p


@dataclass(frozen=True)
class _Side:
    """The values on one side of 0, as positive ones."""

    x: np.ndarray
    """(n,) float64, ascending."""
    sums: np.ndarray
    """(n+1,) float64: of the first 0, 1, .. n values."""
    squares: np.ndarray
    """(n+1,) float64: the same of their squares."""

    @classmethod
    def of(cls, x: np.ndarray) -> _Side:
        x = np.sort(x)
        return cls(x, *(np.concatenate([[0.0], np.cumsum(values)]) for values in (x, x**2)))

    def errors(self, unit: float, count: int) -> np.ndarray:
        """(count+1,): the squared error with the integers up to 0, 1, .. count."""
        k = np.arange(count + 1)
        ends = np.concatenate([[0], np.searchsorted(self.x, (k[1:] - 0.5) * unit), [self.x.size]])
        between = np.cumsum(self._error(k, unit, ends[:-1], ends[1:]))
        return np.concatenate([[0.0], between[:-1]]) + self._error(k, unit, ends[:-1], ends[-1])

    def _error(self, k: np.ndarray, unit: float, first: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Of the values from `first` to `end` with k each."""
        sums, squares = self.sums[end] - self.sums[first], self.squares[end] - self.squares[first]
        return squares - 2 * k * unit * sums + (k * unit) ** 2 * (end - first)

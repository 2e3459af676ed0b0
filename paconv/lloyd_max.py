"""Lloyd-Max levels of data with one level pinned at 0, on a half line or on both: k-means in one dimension.

    level_i    = mean of x over its piece, 0 for the pinned one      (weighted, if values have weights)
    endpoint_i = the middle between two neighbouring levels

repeated until nothing moves. Values are sorted once, with running sums, so that a round costs a few binary searches.

Of data on both sides of 0 each half line has its own levels, and the N of them are shared out so that the sum of
squared errors is least: with z of them below 0,

    z = argmax_n  G(-x; n) + G(x; N - n),      G(x; n) = sum over x > 0 of x^2 - (x - its level)^2 with n levels above 0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from paconv.gaussian import half_gaussian_quantizer

__all__ = ["SortedValues", "levels_on_both_sides", "lloyd_max", "midpoints"]

_ROUNDS = 1000
"""Rounds at most; data usually settle in well under a hundred."""


@dataclass(frozen=True)
class SortedValues:
    """Values in ascending order, with running sums of their weights."""

    x: np.ndarray
    """(n,) float64, ascending."""
    weights: np.ndarray
    """(n+1,) float64: the weights of the first 0, 1, .. n values together."""
    sums: np.ndarray
    """(n+1,) float64: the same of weight times value."""

    @classmethod
    def of(cls, x: np.ndarray, weights: np.ndarray | None = None) -> SortedValues:
        """x (n,) in any order; weights (n,), 1 by default."""
        order = np.argsort(x, kind="stable")
        x = x[order].astype(np.float64)
        w = np.ones(x.size) if weights is None else weights[order].astype(np.float64)
        return cls(x, _running(w), _running(w * x))

    def pieces(self, endpoints: np.ndarray, *, left_open: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Weight and weighted sum of each piece (E+1,) between `endpoints` (E,): [low, high), or (low, high]."""
        side: Literal["left", "right"] = "right" if left_open else "left"
        ends = np.concatenate([[0], np.searchsorted(self.x, endpoints, side), [self.x.size]])
        return np.diff(self.weights[ends]), np.diff(self.sums[ends])

    def means(self, endpoints: np.ndarray, zero: int, *, left_open: bool = False) -> np.ndarray:
        """(E+1,): the mean of each piece, 0 for the piece `zero`; of an empty one its endpoint on the side of 0."""
        weight, total = self.pieces(endpoints, left_open=left_open)
        nearer = np.concatenate([endpoints[:zero], [0.0], endpoints[zero:]])
        found = np.where(weight > 0, total / np.where(weight > 0, weight, 1), nearer)
        found[zero] = 0
        return found


def midpoints(levels: np.ndarray) -> np.ndarray:
    """(..., L-1): the middles between neighbours of ascending `levels` (..., L)."""
    return (levels[..., 1:] + levels[..., :-1]) / 2


def lloyd_max(values: SortedValues, levels: np.ndarray, zero: int, rounds: int = _ROUNDS) -> np.ndarray:
    """Levels (L,) ascending, from the first guess `levels` (L,), the one at index `zero` pinned at 0.

    A piece without values has its endpoint on the side of 0 as level.
    """
    for _ in range(rounds):
        # running sums round: means of equal values may come out of order
        moved = np.maximum.accumulate(values.means(midpoints(levels), zero))
        if np.array_equal(moved, levels):
            break
        levels = moved
    return levels


def levels_on_both_sides(x: np.ndarray, N: int, *, signed: bool) -> tuple[np.ndarray, int]:
    """N levels and 0 for the values x (n,): (levels (N+1,) ascending, index of the 0 among them).

    Without `signed`, and where there is nothing below 0, all N are above it.
    """
    sides = [SortedValues.of(x[x > 0]), SortedValues.of(-x[x < 0])]
    if not signed or not sides[1].x.size:
        return _one_side(sides[0], N), 0
    if not sides[0].x.size:
        return -_one_side(sides[1], N)[::-1], N
    found = [[_one_side(side, k) for k in range(N + 1)] for side in sides]
    gains = [[_gain(side, levels) for levels in of_side] for side, of_side in zip(sides, found, strict=True)]
    below = max(range(N + 1), key=lambda k: gains[0][N - k] + gains[1][k])
    return np.concatenate([-found[1][below][:0:-1], found[0][N - below]]), below


def _one_side(side: SortedValues, n: int) -> np.ndarray:
    """[0, levels..] (n+1,) of the positive values of `side`, from those of a half Gaussian."""
    scale = np.sqrt((side.x**2).mean()) if side.x.size else 1.0
    guess = np.array(half_gaussian_quantizer(n)[1]) if n else np.zeros(0)
    return lloyd_max(side, np.concatenate([[0.0], guess * scale]), 0)


def _gain(side: SortedValues, levels: np.ndarray) -> float:
    """By how much the levels reduce the squared error of putting everything at 0: sum of 2 x q - q^2."""
    weight, total = side.pieces(midpoints(levels))
    return float((2 * total * levels - weight * levels**2).sum())


def _running(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(values)])

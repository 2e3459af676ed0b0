"""Levels of what a convolution reads: Lloyd-Max of a sample, 0 pinned, on the integer grid, endpoints in the middle.

    index(x) = #{e : v_e <= x}        x_bar = unit * level[index]

A tensor that may be negative has levels on both sides (paconv.quantization.lloyd_max).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paconv.gaussian import half_gaussian_quantizer
from paconv.grid import MOST_WEIGHT, exact_unit, nearest_grid
from paconv.quantization.lloyd_max import levels_on_both_sides, midpoints

__all__ = ["ActivationLevels", "fit_levels"]

_SAMPLE = 1 << 18
"""Activations that levels are fitted to; more are subsampled."""


@dataclass(frozen=True)
class ActivationLevels:
    """The step function of one tensor."""

    v: np.ndarray
    """(N,) float32: endpoints, ascending."""
    levels: np.ndarray
    """(N+1,) float32: integers on a grid, the levels themselves otherwise; ascending."""
    unit: float
    """What a level is times; 1 off the grid."""
    zero: int
    """Index of the level 0: how many are negative."""
    largest: float | None
    """The largest magnitude of an integer level; None off the grid."""
    counts: np.ndarray
    """(N+1,) int64: how often each level occurs in the sample."""
    scale: float
    """Root mean square of the sample's values other than 0; 1 where all are 0."""

    @property
    def table(self) -> np.ndarray:
        """(N+1,) float32: the levels themselves."""
        return (self.levels * np.float64(self.unit)).astype(np.float32)

    def index(self, x: np.ndarray) -> np.ndarray:
        """uint8 (...): index of the level of each x (...); NaN has 0."""
        found = np.zeros(x.shape, np.uint8)
        for endpoint in self.v:
            found += x >= endpoint
        return found


def fit_levels(batches: list[np.ndarray], N: int, largest: int | None, *, signed: bool, seed: int) -> ActivationLevels:
    """The N levels and 0 for the finite values of `batches`, a tensor in parts.

    largest: of the grid's integers; None for real levels. signed: levels below 0 are allowed.
    """
    x = _sample(batches, np.random.default_rng(seed))
    guess = [np.array(half_gaussian_quantizer(k)[1]) if k else np.zeros(0) for k in range(N + 1)]
    levels, zero = levels_on_both_sides(x, N, guess, signed=signed)
    counts = np.bincount(np.searchsorted(midpoints(levels), x, side="right"), minlength=N + 1)
    present = np.count_nonzero(x)
    scale = float(np.sqrt((x**2).sum() / present)) if present else 1.0
    if largest is None:
        levels = levels.astype(np.float32)
        v = midpoints(levels.astype(np.float64)).astype(np.float32)
        return ActivationLevels(v, levels, 1.0, zero, None, counts, scale)
    most = min(largest, MOST_WEIGHT) if zero else largest
    grid = nearest_grid(levels, most, counts)
    k = np.sort(grid.integers)
    unit = exact_unit(grid.unit, most)
    v = midpoints(k * unit).astype(np.float32)
    return ActivationLevels(v, k.astype(np.float32), unit, zero, float(np.abs(k).max()), counts, scale)


def _sample(batches: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """At most _SAMPLE finite values of all batches, from each in proportion to its size; float64."""
    total = sum(batch.size for batch in batches)
    parts = []
    for batch in batches:
        flat = batch.reshape(-1)
        if total > _SAMPLE:
            flat = flat[random.integers(flat.size, size=-(-_SAMPLE * flat.size // total))]
        parts.append(flat[np.isfinite(flat)])
    return np.concatenate(parts).astype(np.float64)

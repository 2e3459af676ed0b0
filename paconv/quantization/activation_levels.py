"""Levels of what a convolution reads: Lloyd-Max of a sample, 0 pinned, on the integer grid, endpoints in the middle.

    index(x) = #{e : v_e <= z(x)}        z_bar = unit * level[index]

z is x, or x with each channel shifted and stretched (paconv.quantization.channels). A tensor that may be negative has
levels on both sides (paconv.lloyd_max).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from paconv.grid import MOST_WEIGHT, exact_unit, nearest_grid
from paconv.lloyd_max import levels_on_both_sides, midpoints
from paconv.quantization.channels import Channels

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
    channels: Channels
    """What is done to each channel before."""
    counts: np.ndarray
    """(N+1,) int64: how often each level occurs in the sample."""
    scale: float
    """Root mean square of the sample's values other than 0; 1 where all are 0."""

    @property
    def table(self) -> np.ndarray:
        """(N+1,) float32: the levels themselves."""
        return (self.levels * np.float64(self.unit)).astype(np.float32)

    def index(self, x: np.ndarray) -> np.ndarray:
        """uint8 (...): index of the level of each x (...), (B, C, H, W) where channels differ; NaN has 0."""
        x = self.channels(x)
        found = np.zeros(x.shape, np.uint8)
        for endpoint in self.v:
            found += x >= endpoint
        return found


def fit_levels(
    batches: list[np.ndarray], N: int, largest: int | None, *, signed: bool, channels: Channels, seed: int
) -> ActivationLevels:
    """The N levels and 0 for the finite values of `batches`, a tensor (B, C, H, W) in parts.

    largest: of the grid's integers; None for real levels. signed: levels below 0 are allowed. channels: what is done to
    each before.
    """
    x = _sample(batches, channels, np.random.default_rng(seed))
    levels, zero = levels_on_both_sides(x, N, signed=signed)
    counts = np.bincount(np.searchsorted(midpoints(levels), x, side="right"), minlength=N + 1)
    present = np.count_nonzero(x)
    scale = float(np.sqrt((x**2).sum() / present)) if present else 1.0
    if largest is None:
        levels = levels.astype(np.float32)
        v = midpoints(levels.astype(np.float64)).astype(np.float32)
        return ActivationLevels(v, levels, 1.0, zero, None, channels, counts, scale)
    most = min(largest, MOST_WEIGHT) if zero else largest
    grid = nearest_grid(levels, most, counts)
    k = np.sort(grid.integers)
    unit = exact_unit(grid.unit, most)
    v = midpoints(k * unit).astype(np.float32)
    return ActivationLevels(v, k.astype(np.float32), unit, zero, float(np.abs(k).max()), channels, counts, scale)


def _sample(batches: list[np.ndarray], channels: Channels, random: np.random.Generator) -> np.ndarray:
    """At most _SAMPLE finite values of all batches, from each in proportion to its size, after `channels`; float64."""
    total = sum(batch.size for batch in batches)
    parts = []
    for batch in batches:
        if total > _SAMPLE:
            at = random.integers(batch.size, size=-(-_SAMPLE * batch.size // total))
            flat = channels.each(batch.reshape(-1)[at], at // prod(batch.shape[2:]) % batch.shape[1])
        else:
            flat = channels(batch).reshape(-1)
        parts.append(flat[np.isfinite(flat)])
    return np.concatenate(parts).astype(np.float64)

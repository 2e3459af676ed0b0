"""Levels of what a convolution reads: Lloyd-Max of a sample, 0 pinned, on the integer grid, endpoints in the middle; or
evenly spaced ones, whose planes are binary digits (paconv.quantization.even_levels).

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
from paconv.quantization.even_levels import even_levels

__all__ = ["ActivationLevels", "LevelChoice", "fit_levels"]

_SAMPLE = 1 << 18
"""Activations that levels are fitted to; more are subsampled."""


@dataclass(frozen=True)
class LevelChoice:
    """What levels a tensor is to have."""

    N: int
    """Planes."""
    largest: int | None
    """Of the integers that levels are times a unit; None for real levels. Of digits it is what N planes can say."""
    digits: bool = False
    """Whether planes are the binary digits of 2^N evenly spaced levels; else each level but 0 has one of its own."""


@dataclass(frozen=True)
class ActivationLevels:
    """The step function of one tensor."""

    v: np.ndarray
    """(E,) float32: endpoints, ascending."""
    levels: np.ndarray
    """(E+1,) float32: integers on a grid, the levels themselves otherwise; ascending."""
    unit: float
    """What a level is times; 1 off the grid."""
    zero: int
    """Index of the level 0: how many are negative."""
    largest: float | None
    """The largest magnitude of an integer level; None off the grid."""
    channels: Channels
    """What is done to each channel before."""
    counts: np.ndarray
    """(E+1,) int64: how often each level occurs in the sample."""
    scale: float
    """Root mean square of the sample's values other than 0; 1 where all are 0."""
    digits: bool = False
    """Whether planes are the binary digits of its index, instead of one for each level but 0."""

    @property
    def table(self) -> np.ndarray:
        """(E+1,) float32: the levels themselves."""
        return (self.levels * np.float64(self.unit)).astype(np.float32)

    def index(self, x: np.ndarray) -> np.ndarray:
        """uint8 (...): index of the level of each x (...), (B, C, H, W) where channels differ; NaN has 0."""
        x = self.channels(x)
        if self.digits:
            # In float64 x / unit is further from every integer and a half that it isn't than its roundings reach: x and
            # the endpoint (k + 1/2) unit, each of 24 bits at most and about as large, differ by 2^-26 unit or more.
            place = np.floor(x.astype(np.float64) / self.unit + 0.5) + self.zero
            return np.clip(np.where(np.isnan(place), 0, place), 0, len(self.v)).astype(np.uint8)
        found = np.zeros(x.shape, np.uint8)
        for endpoint in self.v:
            found += x >= endpoint
        return found


def fit_levels(
    batches: list[np.ndarray], wanted: LevelChoice, *, signed: bool, channels: Channels, seed: int
) -> ActivationLevels:
    """The `wanted` levels and 0 for the finite values of `batches`, a tensor (B, C, H, W) in parts.

    signed: levels below 0 are allowed. channels: what is done to each before.
    """
    x = _sample(batches, channels, np.random.default_rng(seed))
    present = np.count_nonzero(x)
    scale = float(np.sqrt((x**2).sum() / present)) if present else 1.0
    if wanted.digits:
        return _digits(x if signed else np.maximum(x, 0), wanted.N, channels, scale)
    levels, zero = levels_on_both_sides(x, wanted.N, signed=signed)
    counts = np.bincount(np.searchsorted(midpoints(levels), x, side="right"), minlength=wanted.N + 1)
    if wanted.largest is None:
        levels = levels.astype(np.float32)
        v = midpoints(levels.astype(np.float64)).astype(np.float32)
        return ActivationLevels(v, levels, 1.0, zero, None, channels, counts, scale)
    most = min(wanted.largest, MOST_WEIGHT) if zero else wanted.largest
    grid = nearest_grid(levels, most, counts)
    k = np.sort(grid.integers)
    unit = exact_unit(grid.unit, most)
    v = midpoints(k * unit).astype(np.float32)
    return ActivationLevels(v, k.astype(np.float32), unit, zero, float(np.abs(k).max()), channels, counts, scale)


def _digits(x: np.ndarray, N: int, channels: Channels, scale: float) -> ActivationLevels:
    """2^N - 1 evenly spaced levels and 0 for the values x (n,)."""
    unit, below, above = even_levels(x, 2**N - 1, MOST_WEIGHT)
    k = np.arange(-below, above + 1)
    most = int(np.abs(k).max())
    unit = exact_unit(unit, 2 * most + 1)  # the middles between levels are float32 numbers too
    v = midpoints(k * unit)
    counts = np.bincount(np.searchsorted(v, x, side="right"), minlength=len(k))
    return ActivationLevels(
        v.astype(np.float32), k.astype(np.float32), unit, below, float(most), channels, counts, scale, digits=True
    )


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

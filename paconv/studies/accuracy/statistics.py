"""Figures of several seeds: mean and spread, and differences paired by the seed.

spread       sample standard deviation, sqrt(sum (x_s - mean)^2 / (S - 1))
difference   d_s = x_s - y_s, seed by seed: what both share (the float network that they start from, the order of
             the samples) drops out
interval     mean d +- t_{S-1}(97.5 %) spread(d) / sqrt(S): holds the expected difference over seeds in 95 % of such
             comparisons, if differences are normal
sampling     sqrt(p (1 - p) / n): how far an accuracy p on n held-out samples is from that on all there could be;
             seeds don't average it out, for they share the samples
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import t

__all__ = ["Difference", "Figures", "difference", "figures", "sampling_error"]

_LEVEL = 0.95


@dataclass(frozen=True)
class Figures:
    """A measure over seeds."""

    mean: float
    """Of those that gave a result."""
    spread: float | None
    """Their standard deviation; None for a single one."""
    count: int
    """Seeds that gave a result."""


@dataclass(frozen=True)
class Difference:
    """Of two systems, paired by seed."""

    mean: float
    """Mean of the differences."""
    spread: float | None
    """Their standard deviation; None of a single pair."""
    half_width: float | None
    """Of the 95 % interval around the mean; None of a single pair."""
    higher: int
    """Seeds in which the first is better."""
    lower: int
    """Seeds in which the first is worse."""
    count: int
    """Number of pairs."""

    @property
    def shown(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.half_width is not None and abs(self.mean) > self.half_width


def figures(values: Sequence[float | None]) -> Figures | None:
    """Of the values by seed, those that failed (None) left out; None where all did."""
    there = np.array([value for value in values if value is not None])
    if not there.size:
        return None
    return Figures(float(there.mean()), float(there.std(ddof=1)) if there.size > 1 else None, there.size)


def difference(first: Sequence[float | None], second: Sequence[float | None]) -> Difference | None:
    """first - second, seed by seed, over the seeds in which neither failed; None where there is none."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    own = figures([a - b for a, b in pairs])
    if own is None:
        return None
    half_width = None
    if own.spread is not None:
        half_width = float(t.ppf((1 + _LEVEL) / 2, own.count - 1)) * own.spread / sqrt(own.count)
    higher, lower = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    return Difference(own.mean, own.spread, half_width, higher, lower, own.count)


def sampling_error(accuracy: float, samples: int) -> float:
    """Of an accuracy on so many samples."""
    return sqrt(accuracy * (1 - accuracy) / samples)

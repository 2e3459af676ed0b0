"""What many calls of one thing say, in two numbers, and how two things compare.

    ratio(a, b) = best of b / best of a: how many times as fast as b a is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

__all__ = ["Timing", "ratio"]


@dataclass(frozen=True)
class Timing:
    """best, median: seconds of a call; calls: how many were timed."""

    best: float
    median: float
    calls: int

    @classmethod
    def of(cls, calls: Sequence[float]) -> Timing:
        """From the seconds of each call, one at least."""
        return cls(min(calls), median(calls), len(calls))

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def ratio(a: Timing, b: Timing) -> float:
    """How many times as fast as `b` `a` is, by the best call of each: what disturbs a call makes it longer."""
    return b.best / a.best

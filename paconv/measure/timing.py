"""What many calls of one thing say, in two numbers, and how two things compare.

ratio(a, b) = best of b / best of a: how many times as fast as b a is
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

__all__ = ["Timing", "busy", "noise", "noise_line", "ratio"]

_BUSY = 1.3
"""Noise from which on a machine has too much else to do: on a quiet one the median is a few per cent off the best."""


@dataclass(frozen=True)
class Timing:
    """How long calls took."""

    best: float
    """Seconds per call."""
    median: float
    """Seconds per call."""
    calls: int
    """How many were timed."""

    @classmethod
    def of(cls, calls: Sequence[float]) -> Timing:
        """From the seconds of each call, one at least."""
        return cls(min(calls), median(calls), len(calls))

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def ratio(a: Timing, b: Timing) -> float:
    """How many times as fast as `b` `a` is, by the best call of each: what disturbs a call makes it longer."""
    return b.best / a.best


def noise(timings: Iterable[Timing]) -> float:
    """The median over all of them of median call / best call, 1 on a machine that does nothing else; 1 for none."""
    return median([t.median / t.best for t in timings] or [1.0])


def busy(timings: Iterable[Timing]) -> bool:
    """Whether the machine had too much else to do."""
    return noise(timings) > _BUSY


def noise_line(timings: Iterable[Timing]) -> str:
    """What a reader should know of it."""
    timings = list(timings)
    told = "; the machine was busy: even the best calls may be slow, measure again when it is quiet"
    return f"a median call took {noise(timings):.2f} times as long as the best" + (told if busy(timings) else "")

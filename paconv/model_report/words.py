"""Numbers as a reader of a report sees them."""

from __future__ import annotations

from math import inf

from paconv.cost.units import duration as seconds
from paconv.quantization.agreement import decibels

__all__ = ["EQUAL", "count", "error", "factor", "percent", "seconds", "size", "times_as"]

EQUAL = 1.05
"""Factor up to which measured or predicted times are called equal."""


def size(value: float) -> str:
    """Bytes with three digits: 12345 -> 12.3 kB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.0f} {name}" if value >= 100 * unit else f"{value / unit:.3g} {name}"
    return f"{value:.0f} B"


def count(value: float) -> str:
    """With three digits: 1234567 -> 1.23 M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.0f} {name}" if value >= 100 * unit else f"{value / unit:.3g} {name}"
    return f"{value:.0f}"


def percent(share: float) -> str:
    """0.123 -> 12 %, 0.0123 -> 1.2 %, and "under 0.1 %" where something is left of nothing."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def factor(value: float) -> str:
    """3.21 -> 3.2x; 0.8 -> 0.80x."""
    return f"{value:.1f}×" if value >= 2 else f"{value:.2f}×"  # noqa: RUF001


def times_as(ratio: float) -> str:
    """A speed against float in words: 1.8x faster, 1.3x slower, as fast."""
    larger = max(ratio, 1 / ratio)
    return f"{factor(larger)} {'faster' if ratio > 1 else 'slower'}" if larger >= EQUAL else "as fast"


def error(value: float) -> str:
    """A relative squared error as a share and as a signal-to-noise ratio."""
    ratio = decibels(value)
    return f"{percent(value)} (exact)" if ratio == inf else f"{percent(value)} ({ratio:.1f} dB)"

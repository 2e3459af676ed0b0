"""Units in which figures of small and of large networks are read alike: 374 Mbit, 651 kbit."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["duration", "scale", "time_unit", "with_unit"]

_MILLISECONDS_FROM = 1e-2

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def scale(largest: float, most: float = 1e9) -> tuple[float, str]:
    """(unit, its prefix) in which `largest` is at least 1, if any: 651_000 -> (1e3, "k"). most: the largest unit."""
    return next(((unit, prefix) for unit, prefix in _PREFIXES if unit <= most and largest >= unit), _PREFIXES[-1])


def with_unit(value: float, name: str, most: float = 1e9) -> str:
    """Three digits: 374_000_000, "bit" -> 374 Mbit."""
    value = float(f"{value:.3g}")  # 999,950 is 1 M, not 1000 k
    unit, prefix = scale(value, most)
    return f"{value / unit:.3g} {prefix}{name}"


def duration(seconds: float) -> str:
    """Three digits: 0.0123 -> 12.3 ms; 0.0000123 -> 12.3 µs."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    scaled, unit = (1e3 * seconds, "ms") if seconds >= 1e-3 else (1e6 * seconds, "µs")
    return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"


def time_unit(whole: float) -> tuple[str, Callable[[float], str]]:
    """How times of parts of `whole` seconds stand in a column: the unit, and seconds -> number.

    Milliseconds with three decimals where the whole has at least ten of them, so that none of what counts is 0.000.
    """
    if whole >= _MILLISECONDS_FROM:
        return "ms", lambda seconds: f"{1e3 * seconds:.3f}"
    return "µs", lambda seconds: f"{1e6 * seconds:,.2f}"

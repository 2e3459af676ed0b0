"""Units in which figures of small and of large networks are read alike: 374 Mbit, 651 kbit."""

from __future__ import annotations

__all__ = ["scale", "with_unit"]

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def scale(largest: float, most: float = 1e9) -> tuple[float, str]:
    """(unit, its prefix) in which `largest` is at least 1, if any: 651_000 -> (1e3, "k"). most: the largest unit."""
    return next(((unit, prefix) for unit, prefix in _PREFIXES if unit <= most and largest >= unit), _PREFIXES[-1])


def with_unit(value: float, name: str, most: float = 1e9) -> str:
    """Three digits: 374_000_000, "bit" -> 374 Mbit."""
    unit, prefix = scale(value, most)
    return f"{value / unit:.3g} {prefix}{name}"

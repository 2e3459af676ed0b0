"""Names in a graph that nothing else has."""

from __future__ import annotations

__all__ = ["unique"]


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name`_1, _2, ... where that is taken; the result is taken then."""
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    taken.add(candidate)
    return candidate

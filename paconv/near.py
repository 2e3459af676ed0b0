"""What a name that isn't known was likely meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]

_LIKE = 0.5
"""Least likeness, of difflib: "pq" and "pa" have this one."""


def did_you_mean(name: str, known: Iterable[str], rest: str = "") -> str:
    """A hint at the known name that is most like `name`, with `rest` behind it, to end a message; "" if none is."""
    near = get_close_matches(name, list(known), n=1, cutoff=_LIKE)
    return f"; did you mean '{near[0]}{rest}'?" if near else ""

"""Histograms as SVG paths: a path for all bins, whole numbers for coordinates, so that a hundred of them stay small.

The frame is WIDTH x HEIGHT. A bin much higher than all others would press these down; it is cut off, and labelled.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.model_report.contents import Distribution, LevelShare
from paconv.model_report.words import percent

__all__ = ["HEIGHT", "MOST_MARKS", "WIDTH", "Chart", "Mark", "chart"]

WIDTH, HEIGHT = 320, 96

MOST_MARKS = 24
"""Endpoints or levels that are drawn, and listed at once; more, as of binary digits, would hide what they stand on."""

_MOST_OVER_SECOND = 1.6
"""How much higher than the second highest bin one is drawn at most."""

_LABEL = 18
"""Units of the frame between two labels, at least."""


@dataclass(frozen=True)
class Mark:
    """A place on the axis."""

    x: float
    label: str
    """"" where the one before leaves no room."""
    height: float = 0
    """Of a stem."""


@dataclass(frozen=True)
class Chart:
    """What a template draws."""

    path: str
    """Of the bins; "" for none."""
    endpoints: tuple[Mark, ...]
    levels: tuple[Mark, ...]
    """With stems where there is no histogram."""
    zero: float | None
    """Where 0 lies on the axis; None where it doesn't."""
    low: str
    high: str
    cut: str
    """Label of the bin that was cut off; "" for none."""
    cut_at: float
    axis: str
    description: str
    """All of it in words."""


def chart(shown: Distribution, shares: tuple[LevelShare, ...], what: str) -> Chart:
    """Draw a distribution. shares: of its levels, for stems where it has no counts."""
    margin = 0.06 * (shown.high - shown.low or 1.0) if not shown.counts else 0.0
    low, high = shown.low - margin, shown.high + margin

    def place(value: float) -> float:
        return round(WIDTH * (value - low) / (high - low or 1.0), 1)

    path, cut, cut_at = _path(shown.counts)
    endpoints = _labelled([(place(value), f"{shown.symbol}{k}") for k, value in enumerate(shown.endpoints, 1)])
    levels = tuple(Mark(place(value), "") for value in shown.levels)
    if len(endpoints) > MOST_MARKS:
        endpoints = ()
    if len(levels) > MOST_MARKS and shown.counts:
        levels = ()
    if not shown.counts:
        largest = max((level.share or 0 for level in shares), default=0) or 1
        levels = tuple(
            Mark(mark.x, "", round((HEIGHT - 16) * (level.share or 0) / largest, 1))
            for mark, level in zip(levels, shares, strict=False)
        )
    zero = place(0) if low < 0 < high else None
    return Chart(path, endpoints, levels, zero, f"{low:.3g}", f"{high:.3g}", cut, cut_at, shown.axis,
                 _words(shown, shares, what))  # fmt: skip


def _path(counts: tuple[int, ...]) -> tuple[str, str, float]:
    if not counts or not any(counts):
        return "", "", 0.0
    first, second = sorted(counts, reverse=True)[:2]
    top = min(first, _MOST_OVER_SECOND * second) if second else first
    width = WIDTH / len(counts)
    steps = [f"V{HEIGHT - round(min(1, n / top) * (HEIGHT - 16))}h{width:g}" for n in counts]
    cut = f"{percent(first / sum(counts))} in this bin" if first > top else ""
    return f"M0 {HEIGHT}{''.join(steps)}V{HEIGHT}z", cut, round((counts.index(first) + 0.5) * width, 1)


def _labelled(places: list[tuple[float, str]]) -> tuple[Mark, ...]:
    marks, last = [], -float(WIDTH)
    for x, label in places:
        fits = x - last >= _LABEL and 0 <= x <= WIDTH
        marks.append(Mark(x, label if fits else ""))
        last = x if fits else last
    return tuple(marks)


def _words(shown: Distribution, shares: tuple[LevelShare, ...], what: str) -> str:
    parts = [f"{what}: {shown.axis} from {shown.low:.3g} to {shown.high:.3g}."]
    for name, values in (("endpoints", shown.endpoints), ("levels", shown.levels)):
        if len(values) > MOST_MARKS:
            parts.append(f"{len(values)} {name} from {values[0]:.3g} to {values[-1]:.3g}.")
        elif values:
            parts.append(f"{name.capitalize()} at " + ", ".join(f"{value:.3g}" for value in values) + ".")
    known = [level for level in shares if level.share is not None]
    if known and len(shares) <= MOST_MARKS:
        parts.append("Shares: " + ", ".join(f"{s.value} {percent(s.share or 0)}" for s in known) + ".")
    return " ".join(parts)

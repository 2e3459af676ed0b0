"""The sweep over M and N as a picture: memory against Flops, or against the latency predicted on a host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from paconv.cost.host.model import HostModel
from paconv.cost.rules import Storage
from paconv.cost.sweep import PLANES_N, Point, beaten
from paconv.cost.units import scale, with_unit
from paconv.errors import UsageError
from paconv.extras import check_matplotlib
from paconv.files import replacing

__all__ = ["plot_sweep", "spread"]

_FORMATS = (".png", ".svg")
_APART = 10.0
"""Between the names of two curves, in points."""
_STORED = {"planes": " (M bits per binary weight, as in the paper)", "level-index": " (as in an optimized model)"}


def plot_sweep(
    points: Sequence[Point], path: str | os.PathLike, source: str, stored: Storage, host: HostModel | None = None
) -> None:
    """Draw a curve per N through the points of rising M, to the file `path`.

    stored: the storage that their memory is counted by. host: the one that the points' latencies are predicted for;
    points that another one beats (paconv.cost.sweep) are hollow then.

    Raises UsageError for a file that is neither .png nor .svg, or without matplotlib.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"--plot: expected a file ending in {' or '.join(_FORMATS)}; found {path.name}")
    check_matplotlib("--plot")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.add_subplot()
    axes.margins(x=0.12)
    bits, prefix = scale(max(p.bits for p in points), most=1e6)
    axes.set_xlabel(f"memory [{prefix}bit], storage {stored.name}{_STORED.get(stored.name, '')}")
    if host is None:
        heights, note = _flops(axes, points)
    else:
        heights, note = _latency(axes, points, host)
    axes.set_title(f"{source} as PA with M weight and N activation planes\n", fontsize=12)
    axes.annotate(note, (0.5, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points", ha="center")
    _draw(figure, axes, points, [p.bits / bits for p in points], heights)
    # A fixed salt and no date: the same sweep gives the same file.
    with rc_context({"svg.hashsalt": "paconv"}), replacing(path) as temporary:
        kind = path.suffix.lower()[1:]
        figure.savefig(temporary, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)


def _flops(axes, points: Sequence[Point]) -> tuple[list[float], str]:
    """(heights of the points, a line on full precision); the axis gets its name."""
    whole = points[0].totals
    unit, _ = scale(max(p.flops for p in points))
    of = "" if unit == 1 else f" [1e{len(str(int(unit))) - 1}]"
    axes.set_ylabel(f"Flops{of}, 64 bit operations as one")
    note = f"N=full: only weights. Full precision: {with_unit(whole.float_bits, 'bit', most=1e6)}, N=full's Flops"
    return [p.flops / unit for p in points], note


def _latency(axes, points: Sequence[Point], host: HostModel) -> tuple[list[float], str]:
    """(heights of the points, a line on the host); the axis gets its name."""
    seconds = [p.latency or 0.0 for p in points]
    each, unit = (1e3, "ms") if max(seconds) >= 1e-3 else (1e6, "us")
    axes.set_ylabel(f"latency [{unit}], predicted")
    note = f"N=full: only weights, full precision's time. Host: {host.identity['cpu']}, threads: {host.threads}"
    return [each * s for s in seconds], note


def _draw(figure, axes, points: Sequence[Point], across: Sequence[float], heights: Sequence[float]) -> None:
    """A curve per N; points that are beaten are hollow."""
    ends, timed = [], points[0].latency is not None
    lost = [timed and beaten(p, points) for p in points]
    for N, colour in _colours().items():
        own = [index for index, p in enumerate(points) if p.N == N]
        xs, ys = [across[i] for i in own], [heights[i] for i in own]
        axes.plot(xs, ys, color=colour, zorder=1)
        axes.scatter(xs, ys, s=36, facecolor=["white" if lost[i] else colour for i in own], edgecolor=colour, zorder=2)
        ends.append((f"N={'full' if N is None else N}", xs[-1], ys[-1]))
    axes.set_ylim(bottom=-0.05 * max(heights))  # room for the names below the lowest points
    axes.grid(alpha=0.3)
    if timed:
        kinds = {"Pareto: no point with as many planes is as small and faster": "dimgray",
                 "beaten: another has as many planes or more, is no larger, and faster": "white"}  # fmt: skip
        for meaning, fill in kinds.items():
            axes.plot([], [], "o", color="dimgray", markerfacecolor=fill, label=meaning)
        figure.legend(loc="outside lower center", fontsize=8)
    _name_columns(axes, points, across, heights)
    figure.draw_without_rendering()  # from here on places are known
    ends.sort(key=lambda end: end[2])
    at = [float(axes.transData.transform((x, y))[1]) * 72 / figure.dpi for _, x, y in ends]
    for (name, x, y), found, given in zip(ends, at, spread(at, _APART), strict=True):
        axes.annotate(name, (x, y), xytext=(18, given - found), textcoords="offset points", va="center", fontsize=9)


def _name_columns(axes, points: Sequence[Point], across: Sequence[float], heights: Sequence[float]) -> None:
    """M below the lowest point; several M in one name where they take the same memory."""
    lowest: dict[float, float] = {}
    planes: dict[float, list[int]] = {}
    for point, x, y in zip(points, across, heights, strict=True):
        lowest[x] = min(y, lowest.get(x, y))
        if point.M not in planes.setdefault(x, []):
            planes[x].append(point.M)
    for x, y in lowest.items():
        axes.annotate(
            f"M={', '.join(map(str, planes[x]))}", (x, y),
            xytext=(0, -15), textcoords="offset points", ha="center", fontsize=9,
        )  # fmt: skip


def spread(places: Sequence[float], apart: float) -> list[float]:
    """Ascending `places` moved as little as can be, in the sum of squares, until they are `apart` from each other.

    With `apart` times its number taken off each, they only have to be ascending: where they aren't, their mean is.
    """
    groups: list[list[float]] = []
    for number, place in enumerate(places):
        groups.append([place - apart * number])
        while len(groups) > 1 and fmean(groups[-2]) > fmean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    means = [fmean(group) for group in groups for _ in group]
    return [mean + apart * number for number, mean in enumerate(means)]


def _colours() -> dict[int | None, Any]:
    """N -> colour; full precision's is no shade."""
    from matplotlib import colormaps

    shades = colormaps["viridis"].resampled(len(PLANES_N) + 1)
    return {N: "crimson" if N is None else shades(number) for number, N in enumerate(PLANES_N)}

"""The sweep over M and N as a picture: memory against Flops, or against the latency predicted on a host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from paconv.cost.host.model import HostModel
from paconv.cost.rules import Storage
from paconv.cost.sweep import PLANES_N, Point, beaten
from paconv.errors import UsageError
from paconv.extras import check_matplotlib
from paconv.files import replacing

__all__ = ["plot_sweep"]

_FORMATS = (".png", ".svg")
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

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    axes.margins(x=0.12)
    if host is None:
        _draw_flops(axes, points)
        axes.set_title(f"{source}: memory and Flops of PA with M weight and N activation planes")
    else:
        _draw_latency(axes, points)
        axes.set_title(
            f"{source} as PA with M weight and N activation planes\n"
            f"latency predicted for {host.identity['cpu']}, threads {host.threads}"
        )
    axes.set_xlabel(f"memory [Mbit], storage {stored.name}{_STORED.get(stored.name, '')}")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    # A fixed salt and no date: the same sweep gives the same file.
    with rc_context({"svg.hashsalt": "paconv"}), replacing(path) as temporary:
        kind = path.suffix.lower()[1:]
        figure.savefig(temporary, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)


def _draw_flops(axes, points: Sequence[Point]) -> None:
    heights = [p.flops / 1e9 for p in points]
    for N, shade in _shades():
        curve = [(p, y) for p, y in zip(points, heights, strict=True) if p.N == N]
        axes.plot([p.megabits for p, _ in curve], [y for _, y in curve], marker="o", color=shade)
        if N is not None:
            _label(axes, f"N={N}", *_last(curve))
    _label_planes(axes, points, heights)
    whole = points[0].totals
    axes.annotate(
        f"N=full (weights only): full precision's {whole.float_flops / 1e9:.3g}e9 Flops; "
        f"full precision itself has {whole.float_bits / 1e6:,.0f} Mbit",
        (0.01, whole.float_flops / 1e9), xycoords=("axes fraction", "data"),
        xytext=(0, 7), textcoords="offset points", fontsize=9,
    )  # fmt: skip
    axes.set_ylabel("Flops [1e9], 64 bit operations as one")


def _draw_latency(axes, points: Sequence[Point]) -> None:
    heights = [1e3 * (p.latency or 0.0) for p in points]
    lost = [beaten(p, points) for p in points]
    for N, shade in _shades():
        curve = [(p, y) for p, y in zip(points, heights, strict=True) if p.N == N]
        color = "crimson" if N is None else shade
        axes.plot([p.megabits for p, _ in curve], [y for _, y in curve], color=color, alpha=0.8, zorder=1)
        for hollow in (False, True):
            chosen = [(p.megabits, y) for p, y, out in zip(points, heights, lost, strict=True)
                      if p.N == N and out == hollow]  # fmt: skip
            fill = "white" if hollow else color
            axes.scatter(*zip(*chosen, strict=True) if chosen else ([], []), s=36, facecolor=fill, edgecolor=color)
        _label(axes, "N=full" if N is None else f"N={N}", *_last(curve))
    _label_planes(axes, points, heights)
    whole = points[0].totals
    axes.plot(
        [],
        [],
        color="crimson",
        label=f"N=full: weights only, full precision's time (which takes {whole.float_bits / 1e6:,.0f} Mbit)",
    )
    axes.plot([], [], "o", color="dimgray", label="Pareto: no point with as many planes is as small and faster")
    axes.plot([], [], "o", color="dimgray", markerfacecolor="white",
              label="beaten: another has as many planes or more, is no larger, and faster")  # fmt: skip
    axes.legend(loc="upper left", fontsize=8)
    axes.set_ylabel("latency [ms], predicted")


def _shades() -> list[tuple[int | None, tuple[float, ...]]]:
    """N -> colour."""
    from matplotlib import colormaps

    shades = colormaps["viridis"].resampled(len(PLANES_N) + 1)
    return [(N, shades(number)) for number, N in enumerate(PLANES_N)]


def _last(curve: Sequence[tuple[Point, float]]) -> tuple[float, float]:
    point, height = curve[-1]
    return point.megabits, height


def _label(axes, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), xytext=(7, 0), textcoords="offset points", va="center", fontsize=8)


def _label_planes(axes, points: Sequence[Point], heights: Sequence[float]) -> None:
    """M below the points of the smallest N."""
    for point, height in zip(points, heights, strict=True):
        if point.N == PLANES_N[0]:
            axes.annotate(
                f"M={point.M}", (point.megabits, height),
                xytext=(0, -14), textcoords="offset points", ha="center", fontsize=9,
            )  # fmt: skip

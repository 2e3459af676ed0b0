"""The sweep over M and N as a picture: memory against Flops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from paconv.cost.sweep import PLANES_N, Point
from paconv.errors import UsageError
from paconv.files import replacing

__all__ = ["plot_sweep"]

_FORMATS = (".png", ".svg")


def plot_sweep(points: Sequence[Point], path: str | os.PathLike, source: str) -> None:
    """Draw a curve for each N through the points of rising M, to the file `path`.

    Raises UsageError for a file that is neither .png nor .svg, or without matplotlib.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"--plot: expected a file ending in {' or '.join(_FORMATS)}; found {path.name}")
    try:
        from matplotlib import colormaps, rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("--plot needs matplotlib, which isn't installed: pip install 'paconv[plot]'") from error

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    shades = colormaps["viridis"].resampled(len(PLANES_N) + 1)
    for number, N in enumerate(PLANES_N):
        curve = [p for p in points if p.N == N]
        axes.plot([p.megabits for p in curve], [p.flops / 1e9 for p in curve], marker="o", color=shades(number))
        if N is not None:
            axes.annotate(
                f"N={N}", (curve[-1].megabits, curve[-1].flops / 1e9),
                xytext=(7, 0), textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
    for point in (p for p in points if p.N == PLANES_N[0]):
        axes.annotate(
            f"M={point.M}", (point.megabits, point.flops / 1e9),
            xytext=(0, -14), textcoords="offset points", ha="center", fontsize=9,
        )  # fmt: skip
    whole = points[0].totals
    axes.annotate(
        f"N=full (weights only): full precision's {whole.float_flops / 1e9:.3g}e9 Flops; "
        f"full precision itself has {whole.float_bits / 1e6:,.0f} Mbit",
        (0.01, whole.float_flops / 1e9), xycoords=("axes fraction", "data"),
        xytext=(0, 7), textcoords="offset points", fontsize=9,
    )  # fmt: skip
    axes.set_xlabel("memory [Mbit]")
    axes.set_ylabel("Flops [1e9], 64 bit operations as one")
    axes.set_title(f"{source}: memory and Flops of PA with M weight and N activation planes")
    axes.margins(x=0.12)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    # A fixed salt and no date: the same sweep gives the same file.
    with rc_context({"svg.hashsalt": "paconv"}), replacing(path) as temporary:
        kind = path.suffix.lower()[1:]
        figure.savefig(temporary, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)

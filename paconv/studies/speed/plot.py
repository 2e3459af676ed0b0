"""The comparison as a picture: speed against float of single layers and of whole networks, one thread count."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from paconv.extras import check_matplotlib
from paconv.files import replacing
from paconv.measure.timing import ratio
from paconv.studies.speed.comparison import Comparison
from paconv.studies.speed.measured import FLOAT, INT8, LARQ, PA, Measured, find

__all__ = ["bars", "plot_comparison"]

_COLOURS = {INT8: "tab:orange", LARQ: "tab:red"}
_NAMES = {INT8: "int8", LARQ: "Larq, binary"}


def bars(measured: Sequence[Measured], threads: int) -> dict[str, dict[str, float]]:
    """What is drawn: form -> subject -> how many times as fast as float it is.

    PA as a session runs it by itself. What has no float of its own (another layout of ResNet18, Larq's networks) is
    set beside the first that has.
    """
    found: dict[str, dict[str, float]] = {}
    own = [m for m in measured if m.threads == threads]
    for m in own:
        if m.what == FLOAT or (m.what == PA and not (m.chosen or m.kernel == "auto")):
            continue
        real = find(own, subject=m.subject, what=FLOAT) or find(own, what=FLOAT)
        M, N = m.planes or (0, 0)
        name = _NAMES.get(m.what) or f"PA({M},{N}){' +-1' if m.levels else ''}"
        if real is not None:
            found.setdefault(name, {})[m.subject] = ratio(m.timing, real.timing)
    return found


def plot_comparison(run: Comparison, path: str | os.PathLike) -> None:
    """Draw it to a .png. Raises UsageError without matplotlib."""
    check_matplotlib("the report")
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    path = Path(path)
    threads = run.threads[0]
    figure = Figure(figsize=(11, 7), layout="constrained")
    title = f"{run.environment['cpu']}, {threads} thread{'s' if threads > 1 else ''}, batch 1"
    for axes, what, measured in zip(
        figure.subplots(2, 1), ("layers", "networks"), (run.layers, run.networks), strict=True
    ):
        found = bars(measured, threads)
        subjects = list(dict.fromkeys(m.subject for m in measured))
        packed = [name for name in found if name.startswith("PA")]
        shades = dict(zip(packed, colormaps["viridis"].resampled(len(packed) + 1).colors, strict=False))  # type: ignore[attr-defined]
        width = 0.85 / max(1, len(found))
        for number, (name, heights) in enumerate(found.items()):
            colour = shades.get(name) if name in shades else _COLOURS[_kind(name)]
            places = [subjects.index(subject) + (number - (len(found) - 1) / 2) * width for subject in heights]
            axes.bar(places, list(heights.values()), width, label=name, color=colour)
        axes.axhline(1, color="black", linewidth=1)
        axes.set_xticks(range(len(subjects)), subjects, fontsize=8)
        axes.set_ylabel("times as fast as float")
        if found:
            axes.set_yscale("log")
            axes.legend(fontsize=8, ncols=4, loc="upper right")
            axes.margins(y=0.25)
        axes.grid(axis="y", alpha=0.3)
        axes.set_title(f"{what}: {title}", fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _kind(name: str) -> str:
    return next(kind for kind, title in _NAMES.items() if title == name)

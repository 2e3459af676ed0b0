"""The comparison as a picture: speed against float of single layers and of whole networks, one thread count.

    python -m paconv.studies.speed.plot FOLDER...

draws speed.png anew from the comparison.json of each folder that `paconv bench-report` made; nothing is measured.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paconv.extras import check_matplotlib
from paconv.files import replacing
from paconv.measure.timing import Timing, ratio
from paconv.studies.speed.comparison import Comparison
from paconv.studies.speed.measured import FLOAT, INT8, LARQ, PA, Measured, find

__all__ = ["bars", "draw", "main", "plot_comparison", "slots"]

_COLOURS = {INT8: "tab:orange", LARQ: "tab:red"}
_NAMES = {INT8: "int8", LARQ: "Larq, binary"}
_SIGNS = " +-1"
_BETWEEN, _NARROWEST = 1.0, 2.0
"""Space between the groups of two subjects, and what a name takes, in bars."""


def bars(measured: Sequence[Measured], threads: int) -> dict[str, dict[str, float]]:
    """What is drawn: form -> subject -> how many times as fast as float it is.

    PA as a session runs it by itself. Only what was timed in turns, as the report's tables have it. What has no float
    of its own (another layout of ResNet18, Larq's networks) is set beside the first that has.
    """
    found: dict[str, dict[str, float]] = {}
    own = [m for m in measured if m.threads == threads and not m.spinning]
    for m in own:
        if m.what == FLOAT or (m.what == PA and not (m.chosen or m.kernel == "auto")):
            continue
        real = find(own, subject=m.subject, what=FLOAT) or find(own, what=FLOAT)
        M, N = m.planes or (0, 0)
        name = _NAMES.get(m.what) or f"PA({M},{N}){_SIGNS if m.levels else ''}"
        if real is not None:
            found.setdefault(name, {})[m.subject] = ratio(m.timing, real.timing)
    return found


def slots(found: dict[str, dict[str, float]]) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    """Where bars stand: (form, subject) -> middle of the bar, subject -> middle of its group, bars being 1 wide.

    A group has only the bars it needs, so a subject of few forms leaves no empty place.
    """
    places: dict[tuple[str, str], float] = {}
    middles: dict[str, float] = {}
    right = 0.0
    for subject in dict.fromkeys(subject for heights in found.values() for subject in heights):
        forms = [form for form, heights in found.items() if subject in heights]
        width = max(_NARROWEST, len(forms))
        middles[subject] = right + width / 2
        first = middles[subject] - (len(forms) - 1) / 2  # the middle of the first bar
        places |= {(form, subject): first + number for number, form in enumerate(forms)}
        right += width + _BETWEEN
    return places, middles


def plot_comparison(run: Comparison, path: str | os.PathLike) -> None:
    """Draw it to a .png. Raises UsageError without matplotlib."""
    draw(run.environment, run.threads[0], run.layers, run.networks, path)


def draw(
    environment: dict[str, Any],
    threads: int,
    layers: Sequence[Measured],
    networks: Sequence[Measured],
    path: str | os.PathLike,
) -> None:
    """As plot_comparison, of its parts."""
    check_matplotlib("the report")
    from matplotlib.figure import Figure

    panels = [(what, m) for what, m in (("layers", layers), ("networks", networks)) if m]
    figure = Figure(figsize=(11, 1.3 + 3.6 * max(1, len(panels))), layout="constrained")
    figure.suptitle(
        f"{environment['cpu']}, kernels for {environment['level']}, {threads} thread{'s' if threads > 1 else ''}, "
        "batch 1", fontsize=11,
    )  # fmt: skip
    colours = _colours({form for _, m in panels for form in bars(m, threads)})
    drawn: dict[str, Any] = {}
    for number, (what, measured) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, number + 1)
        drawn |= _draw_panel(axes, measured, threads, colours)
        axes.set_ylabel(f"{what}: times as fast as float")
    if drawn:
        forms = [form for form in colours if form in drawn]
        figure.legend([drawn[form] for form in forms], forms, loc="outside lower center", ncols=len(forms), fontsize=9)
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw_panel(axes, measured: Sequence[Measured], threads: int, colours: dict[str, Any]) -> dict[str, Any]:
    """Bars from 1, up for what is faster than float and down for what is slower. -> form -> its bars."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    found, drawn = bars(measured, threads), {}
    places, middles = slots(found)
    axes.set_yscale("log")
    for form, heights in found.items():
        where = [places[form, subject] for subject in heights]
        values = list(heights.values())
        drawn[form] = axes.bar(where, [v - 1 for v in values], 0.94, bottom=1, color=colours[form])
        for x, value in zip(where, values, strict=True):
            axes.annotate(
                _short(value), (x, value),
                xytext=(0, 2 if value >= 1 else -2), textcoords="offset points",
                ha="center", va="bottom" if value >= 1 else "top", fontsize=7,
            )  # fmt: skip
    axes.axhline(1, color="black", linewidth=1)
    own = [m for m in measured if m.threads == threads]
    lent = {subject for subject in middles if find(own, subject=subject, what=FLOAT) is None}
    names = [f"{subject}*" if subject in lent else subject for subject in middles]
    axes.set_xticks(list(middles.values()), names, fontsize=8.5)
    if lent and (real := find(own, what=FLOAT)) is not None:
        axes.set_xlabel(f"* beside the float form of {real.subject}", fontsize=8.5, loc="right")
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    edges = [*(place + 0.5 for place in places.values()), *(middle + _NARROWEST / 2 for middle in middles.values())]
    axes.set_xlim(-_BETWEEN / 2, max(edges, default=1) + _BETWEEN / 2)
    axes.margins(y=0.12)
    axes.set_axisbelow(True)
    axes.grid(axis="y", alpha=0.3)
    return drawn


def _short(value: float) -> str:
    """Two digits, three from 100 on: 14, 3.9, .17."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}".lstrip("0")


def _colours(forms: set[str]) -> dict[str, Any]:
    """form -> colour, in the order in which a legend has them: 8-bit, PA from few planes to many, Larq."""
    from matplotlib import colormaps

    packed = sorted(form for form in forms if form.startswith("PA") and not form.endswith(_SIGNS))
    signs = sorted(form for form in forms if form.endswith(_SIGNS))
    shades = colormaps["viridis"].resampled(len(packed) + 1).colors[: len(packed)]  # type: ignore[attr-defined]
    found = {_NAMES[INT8]: _COLOURS[INT8], **dict(zip(packed, shades, strict=True))}
    return found | dict.fromkeys(signs, "tab:pink") | {_NAMES[LARQ]: _COLOURS[LARQ]}


def main(folders: Sequence[str]) -> None:
    """Draw the picture of each folder anew from its data."""
    for folder in map(Path, folders):
        data = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
        layers, networks = ([_measured(row) for row in data[key]] for key in ("layers", "networks"))
        draw(data["environment"], data["options"]["threads"][0], layers, networks, folder / "speed.png")


def _measured(row: dict[str, Any]) -> Measured:
    """Inverse of Measured.as_data, as far as the picture needs it."""
    planes = row["planes"] and tuple(row["planes"])
    return Measured(**row | {"timing": Timing(**row["timing"]), "planes": planes})


if __name__ == "__main__":
    main(sys.argv[1:])

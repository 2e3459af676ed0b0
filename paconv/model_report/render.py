"""A report as one HTML file: everything is in it, styles and drawings too, and nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from paconv.model_report import words
from paconv.model_report.contents import LayerPart, Report, Side
from paconv.model_report.drawing import HEIGHT, MOST_MARKS, WIDTH, Chart, chart
from paconv.model_report.verdict import answers, real_groups

__all__ = ["KINDS", "html"]

KINDS: Mapping[str, tuple[str, str]] = {
    "codes": ("C", "quantized, on level codes"),
    "planes": ("P", "quantized, on bit planes"),
    "weights": ("W", "quantized weights, real activations"),
    "real": ("R", "real convolution"),
    "depthwise": ("D", "real depthwise convolution"),
    "linear": ("L", "real linear layer"),
    "transposed": ("T", "real transposed convolution"),
}
"""Kind -> letter, and in words."""


@dataclass(frozen=True)
class _Segment:
    """A part of a strip."""

    href: str
    """"" for what is between layers."""
    kind: str
    letter: str
    width: float
    """In percent of the wider strip."""
    text: str


@dataclass(frozen=True)
class _Strip:
    title: str
    total: str
    segments: tuple[_Segment, ...]


def html(report: Report) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("paconv.model_report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    names = ("count", "error", "factor", "percent", "seconds", "size", "times_as")
    environment.filters.update({name: getattr(words, name) for name in names})
    return environment.get_template("report.html").render(_variables(report))


def _variables(report: Report) -> dict[str, Any]:
    total = report.seconds
    return {
        "report": report,
        "answers": answers(report),
        "real_groups": real_groups(report.layers),
        "kinds": {kind: KINDS[kind] for kind in KINDS if any(layer.kind == kind for layer in report.layers)},
        "letters": {kind: letter for kind, (letter, _) in KINDS.items()},
        "strips": _strips(report),
        "origin": "measured" if report.measured else "predicted",
        "total": total,
        "share": lambda layer: (layer.seconds or 0) / total if total else 0,
        "largest": max((layer.seconds or 0 for layer in report.layers), default=0) or 1,
        "charts": {layer.id: _charts(layer) for layer in report.layers},
        "width": WIDTH,
        "most_marks": MOST_MARKS,
        "height": HEIGHT,
    }


def _charts(layer: LayerPart) -> dict[str, Chart]:
    def drawn(side: Side | None, what: str) -> dict[str, Chart]:
        if side is None or side.distribution is None:
            return {}
        return {what: chart(side.distribution, side.levels, f"{what.capitalize()} of {layer.label}")}

    return {**drawn(layer.weights, "weights"), **drawn(layer.activations, "activations")}


def _strips(report: Report) -> tuple[_Strip, ...]:
    """This network and the float one, on one scale; none where no times are known."""
    totals, own, real = report.totals, report.seconds, report.float_seconds
    if own is None or real is None:
        return ()
    rest, real_rest = totals.rest_predicted, totals.rest_float_predicted
    if report.measured:
        rest, real_rest = totals.rest_measured, totals.rest_float_measured
    scale = max(own, real)
    return (
        _strip("This network", own, rest or 0, scale, [(la, la.seconds, la.kind) for la in report.layers]),
        _strip("In float", real, real_rest or 0, scale, [(la, la.float_seconds, _float(la)) for la in report.layers]),
    )


def _float(layer: LayerPart) -> str:
    return "real" if layer.kind in ("codes", "planes", "weights") else layer.kind


def _strip(
    title: str, total: float, rest: float, scale: float, layers: list[tuple[LayerPart, float | None, str]]
) -> _Strip:
    segments = [
        _Segment(
            f"#{layer.id}", kind, KINDS[kind][0], round(100 * time / scale, 2),
            f"{layer.label}, {KINDS[kind][1]}: {words.seconds(time)}, {words.percent(time / total)}",
        )
        for layer, time, kind in layers if time is not None
    ]  # fmt: skip
    if rest > 0:
        text = f"between layers: {words.seconds(rest)}, {words.percent(rest / total)}"
        segments.append(_Segment("", "rest", "", round(100 * rest / scale, 2), text))
    return _Strip(title, words.seconds(total), tuple(segments))

"""The answers that come first: is it faster than float, how large is it, what costs most, what stayed real and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paconv.model_report.contents import LayerPart, Report
from paconv.model_report.words import error, factor, percent, seconds, size, times_as

__all__ = ["Answer", "answers", "real_groups"]

_NAMED = 4
"""Layers of one reason that are named at once."""


@dataclass(frozen=True)
class Answer:
    """A question that a reader has."""

    question: str
    answer: str
    """In a few words."""
    text: str
    """In a sentence or two, with numbers."""
    layer: tuple[str, str] | None = None
    """(id, name) of the layer it is about."""


def answers(report: Report) -> tuple[Answer, ...]:
    """In the order of the page."""
    found = [_speed(report), _size(report), _costliest(report), _real(report)]
    if report.totals.output_error is not None:
        found.append(_agreement(report))
    return tuple(found)


def real_groups(layers: Sequence[LayerPart]) -> tuple[tuple[str, tuple[LayerPart, ...]], ...]:
    """(reason, layers) of those that stayed real, in the order they run."""
    groups: dict[str, list[LayerPart]] = {}
    for layer in layers:
        if layer.real:
            groups.setdefault(layer.real_reason, []).append(layer)
    return tuple((reason, tuple(found)) for reason, found in groups.items())


def _speed(report: Report) -> Answer:
    totals, measured = report.totals, report.measurement
    question = "Is it faster than float?"
    guess = ""
    if totals.predicted and totals.float_predicted:
        guess = (
            f"Predicted, the sum of single nodes: {seconds(totals.predicted)}, float "
            f"{seconds(totals.float_predicted)}, {times_as(totals.float_predicted / totals.predicted)}."
        )
    if measured is not None:
        word = times_as(measured.float_seconds / measured.seconds)
        head = f"No, {word}" if "slower" in word else "No, about as fast" if word == "as fast" else f"Yes, {word}"
        text = f"Measured, whole calls: {seconds(measured.seconds)}, float {seconds(measured.float_seconds)}. "
        if measured.busy:
            text += "The machine was busy: measure again when it is quiet. "
            if totals.nodes_measured and totals.float_nodes_measured:
                summed = f"{seconds(totals.nodes_measured)}, float {seconds(totals.float_nodes_measured)}"
                text += f"The fastest calls of all nodes add up to {summed}. "
            head = f"Probably {'about ' if word == 'as fast' else ''}{word}"
        if guess:
            guess += (
                " What onnxruntime does around the nodes of a call isn't in that sum, nor what links between layers "
                "save: the measured calls are the answer."
            )
        return Answer(question, head, (text + guess).strip())
    if not guess:
        return Answer(question, "Not known", f"{totals.rates}; nothing was measured.")
    assert totals.predicted and totals.float_predicted
    word = times_as(totals.float_predicted / totals.predicted)
    head = f"Probably {'about ' if word == 'as fast' else ''}{word}"
    return Answer(question, head, f"{guess} Nothing was measured.")


def _size(report: Report) -> Answer:
    totals = report.totals
    ratio = totals.float_bytes / totals.file_bytes
    head = f"{size(totals.file_bytes)}, {factor(ratio)} smaller" if ratio >= 1.05 else f"{size(totals.file_bytes)}"
    share = totals.binary_parameters / max(1, totals.parameters)
    eight = totals.int8_bytes / totals.file_bytes
    beside = f"{factor(eight)} smaller than that" if eight >= 1.05 else f"{factor(1 / eight)} larger than that"
    return Answer(
        "How large is it?",
        head,
        f"Its parameters take {size(totals.packed_bytes)} packed, and {size(totals.float_bytes)} in float; the rest of "
        "the file is the graph, names and what its operators mean. In 8 bits they would take about "
        f"{size(totals.int8_bytes)}: this file is {beside}. {percent(share)} of the parameters are codes of levels.",
    )


def _costliest(report: Report) -> Answer:
    timed = [layer for layer in report.layers if layer.seconds is not None]
    question = "Which layer costs most?"
    if not timed:
        worst = max(report.layers, key=lambda layer: layer.flops)
        return Answer(question, worst.label, "By operations, as no times are known.", (worst.id, worst.label))
    worst = max(timed, key=lambda layer: layer.seconds or 0)
    total = report.seconds
    share = f", {percent((worst.seconds or 0) / total)} of all nodes' {seconds(total)}" if total else ""
    own = "Predicted, as the nodes are too short for a profile" if report.measurement else "Predicted"
    own = "Measured by the profile" if report.measured else own
    form = "stayed real" if worst.real else "is quantized"
    beside = "" if worst.real or not worst.float_seconds else f"; in float it takes {seconds(worst.float_seconds)}"
    text = f"{own}: {seconds(worst.seconds or 0)}{share}. It {form} ({worst.shape}){beside}."
    return Answer(question, worst.label, text, (worst.id, worst.label))


def _real(report: Report) -> Answer:
    real = [layer for layer in report.layers if layer.real]
    if not real:
        return Answer("What stayed real, and why?", "Nothing", "Every layer with weights is quantized.")
    total = report.seconds
    parts = []
    for reason, layers in real_groups(report.layers):
        names = ", ".join(layer.label for layer in layers[:_NAMED])
        more = f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""
        parts.append(f"{names}{more}: {reason.partition(';')[0].partition(' (')[0].rstrip('.')}.")
    share = ""
    if total:
        part = sum(layer.seconds or 0 for layer in real) / total
        origin = "measured" if report.measured else "predicted"
        share = f" Together they take {percent(part)} of all nodes' time, {origin}."
    head = f"{len(real)} of {len(report.layers)} layers"
    if len(real) <= _NAMED:
        head += f": {', '.join(layer.label for layer in real)}"
    return Answer("What stayed real, and why?", head, " ".join(parts) + share)


def _agreement(report: Report) -> Answer:
    totals = report.totals
    assert totals.output_error is not None
    text = f"Squared error of the output, relative to its variance: {error(totals.output_error)}."
    head = error(totals.output_error)
    if totals.same_choice is not None:
        head = f"Same class on {percent(totals.same_choice)}"
    return Answer("How far is it from the float network?", head, f"{text} On {report.samples} samples.")

"""A comparison as a folder: report.md for a person, comparison.json with the numbers, the pictures."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from paconv.checkpoint import load
from paconv.files import make_folder, write_text
from paconv.reporting.tables import markdown, to_json
from paconv.studies.accuracy.approximation import of_activations, of_weights, quantized_convolutions
from paconv.studies.accuracy.comparison import Comparison, Outcome
from paconv.studies.accuracy.pictures import draw_histograms, draw_passes
from paconv.studies.accuracy.statistics import figures, sampling_error
from paconv.studies.accuracy.tables import TABLE3, differences_table, percent, results_table, tuning_table
from paconv.train.data import open_source
from paconv.train.data.splitting import split_for_validation
from paconv.train.fit import MODEL
from paconv.train.recipe import FLOAT

__all__ = ["DATA", "REPORT", "report_text", "write_report"]

REPORT, DATA = "report.md", "comparison.json"

_IMAGES = 64
"""Held-out samples whose activations are drawn."""


def write_report(comparison: Comparison, runs: str | os.PathLike, folder: str | os.PathLike) -> list[Path]:
    """Write the report's files; each replaces an older one as a whole.

    Args:
        comparison: What to report.
        runs: Folder of the trainings.
        folder: Where to write; made if need be.

    Returns:
        The files written.

    Raises:
        PaconvError: A file can't be written.
        UsageError: matplotlib is missing.
    """
    folder = make_folder(folder)
    pictures = _pictures(comparison, Path(runs), folder)
    write_text(folder / DATA, to_json(comparison.as_data()))
    write_text(folder / REPORT, report_text(comparison, pictures))
    return [folder / name for name in (REPORT, DATA, *(name for name, _ in pictures))]


def report_text(comparison: Comparison, pictures: list[tuple[str, str]]) -> str:
    """The Markdown. pictures: (file, what it shows)."""
    study = comparison.study
    rates = ", ".join(f"{rate:g}" for rate in study.rates)
    parts = [
        "# Schemes compared on small data",
        "Made by `paconv compare`; [comparison.json](comparison.json) has the numbers.",
        "## How",
        f"`{study.model}`, {study.optimizer}, batches of {study.batch_size}. A float network is trained for "
        f"{study.float_epochs} epochs; every system starts from it and is trained for {study.epochs} more, full "
        f"precision too. Each may choose among the rates {rates}, by its accuracy at seed 0 on {study.validation:.0%} "
        f"of the training samples, which nothing is ever trained on; then come the other seeds, {study.seeds} in all. "
        "Held-out samples decide nothing. A seed fixes the first weights, the order of the samples and their "
        "augmentation, the same for every system, so that differences are paired by it. Systems whose activations are "
        "-1 and +1 start from a float network that clips to [-1, 1] in place of the ReLU, as Bi-Real Net's authors do, "
        "for a ReLU takes the sign away; their 1x1 convolutions on shortcuts stay real.",
        "The network of seed 0 is exported, optimized, verified and served: memory and Flops are counted from its "
        "pa.onnx by the paper's rules (`paconv cost`); the last column says for how many held-out samples onnxruntime "
        "and torch name the same class.",
    ]
    for data in study.data:
        parts += _data_parts(comparison, data)
    if pictures:
        parts.append("## Figures")
        parts += [f"![{text}]({name})\n\n{text}" for name, text in pictures]
    return "\n\n".join(parts) + "\n"


def _data_parts(comparison: Comparison, data: str) -> list[str]:
    chosen_by, source = split_for_validation(open_source(data), comparison.study.validation)
    held_out = len(source.held_out or ())
    parts = [f"## {data}", f"{len(source.training):,} samples to train on, {len(chosen_by.held_out or ()):,} for "
             f"validation, {held_out:,} held out, {len(source.classes)} classes."]  # fmt: skip
    real = comparison.find(data, FLOAT)
    found = None if real is None else figures(real.results)
    if found is not None and held_out:
        error = percent(sampling_error(found.mean, held_out))
        parts.append(f"An accuracy on {held_out:,} samples is itself only known to about {error} points.")
    parts.append(markdown(results_table(comparison, data, f"{data}: Table 3 in small", TABLE3)))
    parts.append(markdown(results_table(comparison, data, f"{data}: Table 6 in small")))
    parts += [markdown(differences_table(comparison, data)), markdown(tuning_table(comparison, data))]
    for outcome in comparison.of(data):
        parts += [f"{outcome.system.title}, seed {run.seed}: {record.failure}"
                  for run, record in zip(outcome.runs, outcome.records, strict=True) if record.failure]  # fmt: skip
    return parts


def _pictures(comparison: Comparison, runs: Path, folder: Path) -> list[tuple[str, str]]:
    """Figures 1 and 4 from the network of the most weight planes, 2 and 5 from one of N = 5 if there is one."""
    sound = [
        outcome
        for outcome in comparison.outcomes
        if outcome.system.scheme is not None and outcome.system.scheme.name == "pa" and outcome.records[0].result
    ]
    by_data = {data: [o for o in sound if o.data == data] for data in comparison.study.data}
    outcomes = next((found for found in reversed(by_data.values()) if found), [])
    made = []
    if outcomes:
        widest = max(outcomes, key=lambda o: _planes(o)[0])
        model, layer = _largest(widest, runs)
        shown = of_weights(model, layer)
        where = f"of {layer} in {widest.system.title} on {widest.data}, seed 0"
        draw_passes(shown, "W", folder / "figure1.png")
        draw_histograms(shown, "W", folder / "figure4.png")
        made.append(("figure1.png", f"Figure 1: weights {where}, forward and backward"))
        made.append(("figure4.png", f"Figure 4: weights {where} and their approximation"))
    quantized = [o for o in outcomes if _planes(o)[1]]
    if quantized:
        outcome = min(quantized, key=lambda o: abs(_planes(o)[1] - 5))
        model, layer = _largest(outcome, runs)
        source = open_source(outcome.data)
        samples = source.training if source.held_out is None else source.held_out.plain()
        images, _ = samples.batch([(0, index) for index in range(min(_IMAGES, len(samples)))])
        shown = of_activations(model, layer, images)
        where = f"that {layer} reads in {outcome.system.title} on {outcome.data}, seed 0"
        draw_passes(shown, "A", folder / "figure2.png")
        draw_histograms(shown, "A", folder / "figure5.png")
        made.append(("figure2.png", f"Figure 2: activations {where}, forward and backward"))
        made.append(("figure5.png", f"Figure 5: activations {where} and their approximation"))
    return sorted(made)


def _planes(outcome: Outcome) -> tuple[int, int]:
    assert outcome.system.scheme is not None
    return outcome.system.scheme.M, outcome.system.scheme.N or 0


def _largest(outcome: Outcome, runs: Path) -> tuple[nn.Module, str]:
    """The trained network and the name of its quantized convolution with the most weights."""
    model = load(runs / outcome.runs[0].folder / MODEL)
    sizes = {name: model.get_parameter(f"{name}.weight").numel() for name in quantized_convolutions(model)}
    return model, max(sizes, key=lambda name: sizes[name])

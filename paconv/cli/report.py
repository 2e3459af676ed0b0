"""`paconv report`: what became of a network, as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from paconv.cli.console import print_paragraph, progress_bar
from paconv.cli.output import TEXT, output_options
from paconv.errors import UsageError
from paconv.model_report.analysis import SECONDS
from paconv.model_report.report import report as write_report
from paconv.model_report.verdict import answers
from paconv.onnx_file.shapes import parse_input_shapes
from paconv.reporting.tables import to_json

__all__ = ["report"]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="The float network that MODEL was made from, or the exported model.onnx: adds real weights and errors.",
)
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    help="Samples, an array for each input (.npz): adds activations, how often each level occurs, and errors.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default="report.html", show_default=True, help="HTML file."
)
@click.option(
    "--input-shape",
    "shapes",
    multiple=True,
    metavar="SHAPE",
    help="Sizes of free dimensions, as in paconv cost. May be repeated.",
)
@click.option("--int8", is_flag=True, help="Measure the float network in onnxruntime's 8-bit form too.")
@click.option("--no-measure", is_flag=True, help="Predict times, measure none.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help=f"How long to measure.  [default: {SECONDS:g}]",
)
@output_options(TEXT, json="json has the answers and their reasons.")
def report(
    model: Path,
    reference: Path | None,
    inputs: Path | None,
    output: Path,
    shapes: tuple[str, ...],
    int8: bool,
    no_measure: bool,
    seconds: float | None,
    style: str,
    quiet: bool,
) -> None:
    """Show what became of the packed network MODEL, as one HTML file to open in a browser.

    Whether it is faster than float, which layer costs most, what stayed real and why, what would help most; each
    layer's weights and activations with their endpoints and levels, time, memory and kernel. The file loads nothing
    from elsewhere.

    \b
    Example:
      paconv report pa.onnx
      paconv report pa.onnx --reference float.onnx --inputs samples.npz \\
        -o report.html
    """
    if no_measure and seconds is not None:
        raise UsageError("--seconds belongs to measuring; leave out --no-measure")
    with progress_bar("report") as update:
        found = write_report(
            model, output, reference=reference, inputs=inputs, input_shapes=parse_input_shapes(shapes) or None,
            seconds=None if no_measure else seconds or SECONDS, int8=int8, progress=lambda what: update(what, 0, 1),
        )  # fmt: skip
    said = answers(found)
    if style == "json":
        found_out = {"answers": {a.question: a.answer for a in said}, "reasons": {a.question: a.text for a in said}}
        click.echo(to_json({"output": str(output), **found_out}), nl=False)
        return
    for answer in () if quiet else said:
        click.echo(f"{answer.question} {answer.answer}")
        print_paragraph(answer.text)
    click.echo(f"{output}: {output.stat().st_size:,} bytes")

"""`paconv optimize`: model.onnx to pa.onnx, with a line for every convolution."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from paconv.errors import VerifyError
from paconv.files import replacing
from paconv.passes.reasons import explain
from paconv.passes.report import ConversionReport
from paconv.pipeline import optimize as run_passes

__all__ = ["load_verify", "optimize", "print_report"]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("pa.onnx"), show_default=True,
              help="Where to write the optimized model; MODEL itself is allowed.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the conversion report here, as JSON.")
@click.option("--verify", "check", is_flag=True,
              help="Compare the result with MODEL (as `paconv verify` does); write nothing if they differ.")
@click.option("--allow-unchanged", is_flag=True, help="Accept a model with nothing to convert: write it as it is.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the summary.")
def optimize(
    model: Path, output: Path, report: Path | None, check: bool, allow_unchanged: bool, quiet: bool
) -> None:
    """Turn the exported MODEL into its packed form.

    Quantized convolutions become PABitConv with bit-packed weights; batch norms and ReLUs fold into endpoints, scales
    and biases; weights-only convolutions get packed weights. An already optimized model comes back as it is.

    \b
    Example:
      paconv optimize model.onnx -o pa.onnx --verify --report report.json
    """
    with replacing(output) as temporary:
        result = run_passes(model, temporary, allow_unchanged=allow_unchanged, report=report)
        if not quiet:
            print_report(result.report)
        if check:
            _verify(model, temporary)
    click.echo(f"{output}: {result.report.summary()}")


def print_report(report: ConversionReport, console: Console | None = None) -> None:
    """Print a table with a line per convolution, and an explanation of every reason code in it."""
    console = console or Console()
    if not console.is_terminal:
        console.width = 160  # in a pipe or a file nothing is cut off
    table = Table(box=None, pad_edge=False)
    for column in ("convolution", "converted", "form", "reason", "folded"):
        table.add_column(column, no_wrap=True)
    for line in report.convs:
        folded = ", ".join(line.folded) + "".join(f" (kept: {code})" for code in line.kept)
        table.add_row(line.node, "yes" if line.converted else "no", line.form, line.reason, folded)
    console.print(table)
    codes = {line.reason for line in report.convs} | {code for line in report.convs for code in line.kept}
    for code in sorted(codes - {"converted"}):
        console.print(f"{code}: {explain(code)}", markup=False, highlight=False, soft_wrap=True)
    totals = report.totals
    console.print(f"{totals['bytes_before']:,} -> {totals['bytes_after']:,} bytes", highlight=False)


def load_verify():
    """paconv.verification.verify.verify, imported when asked for: it needs onnxruntime, which optimizing doesn't."""
    return import_module("paconv.verification.verify").verify


def _verify(reference: Path, optimized: Path) -> None:
    result = load_verify()(reference, optimized)
    click.echo(str(result))
    if not result.ok:
        raise VerifyError(f"the optimized model differs from {reference}; nothing was written")

"""`paconv optimize`: model.onnx to pa.onnx, with a line for every convolution."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from paconv.cli.console import print_table, print_tables
from paconv.cli.output import TABLES, output_options
from paconv.cli.verify import print_result, run_verify
from paconv.errors import UsageError, VerifyError
from paconv.files import replacing
from paconv.passes.graph.reasons import explain
from paconv.passes.graph.report import ConversionReport
from paconv.pipeline import check_distinct
from paconv.pipeline import optimize as run_passes
from paconv.reporting.tables import Column, Table, to_json
from paconv.verification.verify import VerifyResult

__all__ = ["optimize", "print_report"]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("pa.onnx"),
    show_default=True,
    help="Where to write the optimized model; MODEL itself is allowed.",
)
@click.option("--report", type=click.Path(path_type=Path), help="Write the conversion report here, as JSON.")
@click.option(
    "--verify",
    "check",
    is_flag=True,
    help="Compare the result with MODEL (as `paconv verify` does); write nothing if they differ.",
)
@click.option("--inputs", type=click.Path(path_type=Path), help="Arrays to verify with, one for each input (.npz).")
@click.option(
    "--canonical",
    is_flag=True,
    help="Leave out the fusion of linked convolutions, or undo it: each stays a PABitConv among standard ops.",
)
@click.option("--allow-unchanged", is_flag=True, help="Accept a model with nothing to convert: write it as it is.")
@output_options(TABLES, "json has the whole conversion report and, with --verify, all comparisons.")
def optimize(
    model: Path,
    output: Path,
    report: Path | None,
    check: bool,
    inputs: Path | None,
    canonical: bool,
    allow_unchanged: bool,
    style: str,
    quiet: bool,
) -> None:
    """Turn the exported MODEL into its packed form.

    Quantized convolutions become PABitConv with bit-packed weights; batch norms and ReLUs fold into endpoints, scales
    and biases; weights-only convolutions get packed weights. PABitConvs that are linked become a chain of PALevelConv,
    with one byte per activation between them. An already optimized model comes back as it is,
    and only with -o FILE is a copy of it written.

    \b
    Example:
      paconv optimize model.onnx -o pa.onnx --verify --report report.json
    """
    if inputs is not None and not check:
        raise UsageError("--inputs are arrays to verify with: give --verify too")
    check_distinct(report, model=model, output=output)
    chosen = click.get_current_context().get_parameter_source("output") is not ParameterSource.DEFAULT
    verdict = None
    with ExitStack() as stack:
        temporary = stack.enter_context(replacing(output))
        report_temporary = stack.enter_context(replacing(report)) if report else None
        result = run_passes(
            model, temporary, fuse=not canonical, allow_unchanged=allow_unchanged, report=report_temporary
        )
        if not (
            result.report.changed or chosen or allow_unchanged or os.path.realpath(model) == os.path.realpath(output)
        ):
            raise UsageError(f"{model} is optimized already; a copy of it is written with -o FILE")
        if check and result.report.changed:
            verdict = _verify(model, temporary, inputs)
    # Printed last: what is written doesn't depend on whether anyone reads this to its end.
    if style == "json":
        data = {"output": str(output), **json.loads(result.report.to_json())}
        click.echo(to_json({**data, "verify": verdict and verdict.to_dict()}), nl=False)
        return
    if style != "table":
        print_tables([_table(result.report)], style)
        return
    if not quiet:
        print_report(result.report)
    if verdict:
        print_result(verdict, quiet)
    elif check:
        click.echo("nothing to verify: the model comes back as it is")
    click.echo(f"{output}: {result.report.summary()}")


def print_report(report: ConversionReport) -> None:
    """Print a table with a line per convolution, and an explanation of every reason code in it."""
    codes = {line.reason for line in report.convs} | {code for line in report.convs for code in line.kept}
    notes = [f"{code}: {explain(code)}" for code in sorted(codes - {"converted"})]
    print_table(replace(_table(report), notes=notes))
    totals = report.totals
    click.echo(f"{totals['bytes_before']:,} -> {totals['bytes_after']:,} bytes")


def _table(report: ConversionReport) -> Table:
    names = ("convolution", "converted", "form", "reason", "linked", "folded")
    columns = [Column(name, name, left=True, folds=name in ("convolution", "folded")) for name in names]
    rows = []
    for line in report.convs:
        folded = ", ".join(line.folded) + "".join(f" (kept: {code})" for code in line.kept)
        converted, linked = ("yes" if so else "no" for so in (line.converted, line.linked))
        rows.append(dict(zip(names, (line.node, converted, line.form, line.reason, linked, folded), strict=True)))
    return Table("", columns, rows)


def _verify(reference: Path, optimized: Path, inputs: Path | None) -> VerifyResult:
    result = run_verify(reference, optimized, inputs)
    if not result.ok:
        print_result(result)
        raise VerifyError(f"the result differs from {reference}: {result.first_difference}; nothing was written")
    return result

"""`paconv verify`: compare an optimized model with its reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from paconv.cli.console import output_console, print_table, print_tables, progress_bar
from paconv.cli.model_options import random_shape_option
from paconv.cli.output import TABLES, output_options
from paconv.cli.ranges import SEED
from paconv.errors import VerifyError
from paconv.onnx_file.shapes import parse_input_shapes
from paconv.reporting.tables import Column, Table, grouped
from paconv.verification.end_to_end import EndToEnd
from paconv.verification.verify import VerifyResult
from paconv.verification.verify import verify as verify_models

__all__ = ["print_result", "run_verify", "verify"]


@click.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("optimized", type=click.Path(path_type=Path))
@click.option("--inputs", type=click.Path(path_type=Path), help="Arrays to feed, one for each input (.npz).")
@click.option(
    "--batch", default=2, show_default=True, type=click.IntRange(min=1), help="Random samples, without --inputs."
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Seed of the random samples.")
@random_shape_option
@output_options(TABLES)
def verify(
    reference: Path,
    optimized: Path,
    inputs: Path | None,
    batch: int,
    seed: int,
    shapes: tuple[str, ...],
    style: str,
    quiet: bool,
) -> None:
    """Compare OPTIMIZED with the REFERENCE it was made from: each layer, the graph between them, the tensors between
    fused nodes, and end to end.

    Exits with 1 and names the first tensor that differs if they don't agree. Where decisions flip end to end, the
    reference is run once more on inputs moved by one rounding, to tell a network that carries roundings through from a
    fault.

    \b
    Example:
      paconv verify model.onnx pa.onnx
      paconv verify model.onnx pa.onnx --inputs samples.npz --format json
      paconv verify model.onnx pa.onnx --input-shape 3x224x224
    """
    sizes = parse_input_shapes(shapes)
    result = run_verify(reference, optimized, inputs, batch=batch, seed=seed, input_shape=sizes)
    if style == "json":
        click.echo(json.dumps(result.to_dict(), indent=2))
    elif style == "table":
        print_result(result, quiet)
    else:
        verdict = "verified" if result.ok else f"differs: {result.first_difference}"
        print_tables([replace(_layers_table(result), notes=[*result.notes(), verdict])], style)
    if not result.ok:
        raise VerifyError(f"{optimized} differs from {reference}: {result.first_difference}")


def run_verify(reference, optimized, inputs=None, **options) -> VerifyResult:
    """paconv.verify with a progress bar on stderr."""
    with progress_bar("verify") as update:
        return verify_models(reference, optimized, inputs, progress=update, **options)


def print_result(result: VerifyResult, quiet: bool = False) -> None:
    """The table of layers, then the end-to-end comparison and the verdict; quiet: the verdict alone."""
    console = output_console()
    if not quiet:
        _print_layers(result, console)
    console.print("[green]verified" if result.ok else f"[red]differs: {result.first_difference}", soft_wrap=True)


def _layers_table(result: VerifyResult) -> Table:
    columns = [
        Column("layer", "layer", left=True, folds=True),
        *(Column(name, name) for name in ("M", "N")),
        *(Column(name, name, read=grouped) for name in ("decisions", "flips", "integers", "counts")),
        Column("error", "error / bound", read="{:.2f}".format),
        Column("verdict", "verdict", left=True),
    ]
    rows = [
        {
            "layer": layer.name,
            "M": layer.M,
            "N": layer.N,
            "decisions": layer.decisions,
            "flips": layer.flips,
            "integers": layer.integers or None,
            "counts": layer.counts or None,
            "error": layer.largest_error,
            "verdict": "equal" if layer.ok else "differs",
        }
        for layer in result.layers
    ]
    return Table("each PABitConv on the reference's own input", columns, rows)


def _print_layers(result: VerifyResult, console: Console) -> None:
    print_table(_layers_table(result))
    console.print(
        "flips: decisions that the reference's own float32 rounding turned, within its rounding bound of an endpoint"
    )
    if any(layer.integers for layer in result.layers):
        console.print("integers: sums of integer levels, and the outputs made from them: equal, bit for bit")
    if any(layer.counts for layer in result.layers):
        console.print("counts, error / bound: of levels that are no integers times a unit; the counts are equal")
    console.print(
        "graph between the layers: " + ("equal, bit for bit" if result.glue is None else f"[red]{result.glue}")
    )
    if result.fused:
        compared = f"{result.fused.levels} of levels and {result.fused.floats} of floats"
        verdict = "equal, bit for bit" if result.fused.ok else f"[red]{result.fused.difference}"
        console.print(f"tensors between fused nodes, {compared}: {verdict}")
    if result.end_to_end:
        _print_end_to_end(result.end_to_end, result.ok, console)


def _print_end_to_end(end: EndToEnd, equal: bool, console: Console) -> None:
    console.print("end to end:")
    for output in end.outputs:
        agreement = "" if output.agreeing is None else f", top-1 equal in {output.agreeing} of {output.rows}"
        console.print(f"  {output.name}: largest difference {output.largest:.3g} of {output.scale:.3g}{agreement}")
    where = f", first in {end.first_flip}" if end.first_flip else ""
    console.print(f"  decisions flipped on the way: {end.flips:,} of {end.decisions:,}{where}")
    if end.flips and end.moved_inputs is None:
        console.print("  no input of floats can be moved by a rounding, to see what that alone turns")
    if end.moved_inputs:
        moved = ", ".join(f"{o.name} by up to {o.largest:.3g}" for o in end.moved_inputs.outputs)
        console.print(
            f"  the reference against itself, its inputs moved to the next float: {end.moved_inputs.flips:,} decisions "
            f"flipped, {moved}",
            soft_wrap=True,
        )
        unexplained = _ON_THE_EDGE if equal else _UNEXPLAINED
        console.print(f"  {_CHAOTIC if end.moved_inputs.explains else unexplained}", soft_wrap=True)


_CHAOTIC = (
    "so the network itself carries a rounding through to this, as one with random weights does, or with many levels, "
    "where a decision that turns moves what is behind it past others"
)
_ON_THE_EDGE = (
    "a rounding of the inputs turns far less; as all nodes and the graph between them are equal, an early decision on "
    "the edge has turned, and others after it: other samples (--seed, --inputs) show how often"
)
_UNEXPLAINED = (
    "so a rounding of the inputs turns far less than optimizing did: one early decision on the edge may do that, or a "
    "fault; try other samples (--seed, --inputs)"
)

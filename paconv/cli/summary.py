"""`paconv summary`: what each layer of a model is."""

from __future__ import annotations

from pathlib import Path

import click

from paconv.cli.console import print_explained
from paconv.cli.model_options import factory_option, trust_pickle_option
from paconv.cli.output import TABLES, explain_option, output_options
from paconv.cost.summary import summary as summarize
from paconv.onnx_file.shapes import parse_input_shapes
from paconv.reporting.tables import to_json

__all__ = ["summary"]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--input-shape",
    "shapes",
    multiple=True,
    metavar="SHAPE",
    help="Sizes of free dimensions: 3x224x224 (CxHxW), INPUT=3x224x224 or DIMENSION=224. May be repeated.",
)
@factory_option
@trust_pickle_option
@output_options(TABLES)
@explain_option
def summary(
    model: Path,
    shapes: tuple[str, ...],
    factory: str | None,
    trust_pickle: bool,
    style: str,
    quiet: bool,
    explain: bool,
) -> None:
    """Show what each layer of MODEL is: its kind and shape, what it reads, its bits, its share of the whole.

    MODEL is a checkpoint (.pt), a float ONNX model, an exported model.onnx or an optimized pa.onnx. Nothing is run.

    \b
    Example:
      paconv summary pa.onnx
      paconv summary pa.onnx --explain
      paconv summary net.onnx --input-shape 3x224x224 --format csv
    """
    found = summarize(model, parse_input_shapes(shapes), model=factory, trust_pickle=trust_pickle)
    if style == "json":
        click.echo(to_json(found.as_data()), nl=False)
        return
    table = found.csv_table() if style == "csv" else found.table()
    print_explained(table, style, quiet, explain)

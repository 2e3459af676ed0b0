"""`paconv cost`: what a model costs."""

from __future__ import annotations

from pathlib import Path

import click

from paconv.cost import count, rule, storage
from paconv.cost.report import as_data, as_table
from paconv.cost.rules import RULES, STORAGES
from paconv.cost.shapes import parse_input_shapes
from paconv.cost.source import network_of_file
from paconv.cost.tables import markdown, plain, to_csv, to_json

__all__ = ["cost"]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--format", "style", type=click.Choice(["table", "json", "csv", "markdown"]), default="table")
@click.option("--input-shape", "shapes", multiple=True, metavar="SHAPE", help="Sizes of free dimensions.")
@click.option(
    "--rule", "rule_name", default="text", metavar="|".join(RULES), help="How operations are counted."
)
@click.option(
    "--storage",
    "storage_name",
    default="planes",
    metavar="|".join(STORAGES),
    help="Bits a binary weight takes.",
)
def cost(model: Path, style: str, shapes: tuple[str, ...], rule_name: str, storage_name: str) -> None:
    """Memory and operations of MODEL, layer by layer."""
    network = network_of_file(model, parse_input_shapes(shapes))
    counted = count(network, rule(rule_name), storage(storage_name))
    if style == "json":
        text = to_json(as_data(counted, model.name))
    else:
        write = {"table": plain, "csv": to_csv, "markdown": markdown}[style]
        text = write(as_table(counted, model.name, summed=style != "csv"))
    click.echo(text, nl=False)

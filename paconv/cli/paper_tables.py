"""`paconv paper-tables`: the paper's Tables 2, 7 and 8, with what our counts say to each number."""

from __future__ import annotations

import click

from paconv.cli.console import print_tables
from paconv.cli.delays import delay_options, given_delays
from paconv.cli.output import TABLES, Choice, output_options
from paconv.cost.rules import RULES
from paconv.reporting.tables import to_json
from paconv.studies.paper.data import paper_data
from paconv.studies.paper.tables import table2, table7, table8, table8_numbers

__all__ = ["paper_tables"]


@click.command("paper-tables")
@output_options(TABLES)
@click.option(
    "--rule",
    "pa_rule",
    type=Choice(list(RULES)),
    default="table7",
    show_default=True,
    help="How the operations of Table 7's PA rows are counted.",
)
@click.option("-M", "weight_planes", type=click.IntRange(1, 8), default=4, show_default=True, help="For Table 2.")
@click.option("-N", "planes", type=click.IntRange(1, 8), default=5, show_default=True, help="For Tables 2 and 8.")
@delay_options
def paper_tables(
    style: str, quiet: bool, pa_rule: str, weight_planes: int, planes: int, **options: float | None
) -> None:
    """Print Table 7 (printed, ours, deviation), Table 8 (latency) and Table 2 (gates).

    \b
    Example:
      paconv paper-tables
      paconv paper-tables --t-and 9.62 --t-xnor 10.87 --t-pop 60 --t-mul 300 \\
        --t-add 150 --t-com 40
    """
    times = given_delays(options)
    if style == "json":
        click.echo(to_json(paper_data(pa_rule, weight_planes, planes, times)), nl=False)
        return
    tables = [table7(pa_rule), table8(times), table8_numbers(planes, times), table2(weight_planes, planes)]
    print_tables(tables, style, quiet)

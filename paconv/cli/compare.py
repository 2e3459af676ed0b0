"""`paconv compare`: every scheme on the same data with the same chances."""

from __future__ import annotations

from pathlib import Path

import click

from paconv.cli.console import print_tables, progress_bar
from paconv.cli.output import TABLES, output_options
from paconv.cli.ranges import EPOCHS
from paconv.cores import usable_cores
from paconv.extras import check_matplotlib

__all__ = ["compare"]


class _Rates(click.ParamType):
    name = "rates"

    def convert(self, value, param, ctx) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(map(float, value.split(",")))
        except ValueError:
            self.fail(f"expected numbers with commas between, such as 0.0005,0.002; found {value!r}", param, ctx)


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="FOLDER",
    help="Folder for the trainings, in FOLDER/runs, and the report, in FOLDER/report.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="SOURCE",
    help="As for paconv train; each is a comparison of its own. [default: digits:0.7 and synthetic]",
)
@click.option(
    "--model", default="digits_resnet", show_default=True, metavar="NAME", help="Architecture of paconv.models."
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    metavar="SCHEME[:M,N]",
    help="float, or a scheme with its planes: pa:4,5, pa:4,full, bireal. May be repeated. [default: the paper's]",
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="How many.")
@click.option(
    "--rates",
    type=_Rates(),
    default="0.001,0.004,0.016",
    show_default=True,
    help="Learning rates that each system may choose from.",
)
@click.option("--epochs", type=EPOCHS, default=30, show_default=True, help="Of every system.")
@click.option("--float-epochs", type=EPOCHS, help="Of the float network that they start from [default: as --epochs].")
@click.option("--batch-size", type=int, default=64, show_default=True)
@click.option("--optimizer", default="adam", show_default=True, metavar="NAME", help="adam (AdamW) or sgd.")
@click.option(
    "--validation",
    type=float,
    default=0.2,
    show_default=True,
    metavar="SHARE",
    help="Of the training samples, for choices.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Trainings at once [default: one a core].")
@output_options(TABLES)
def compare(output: Path, systems: tuple[str, ...], jobs: int | None, style: str, quiet: bool, **options) -> None:
    """Train the float network and its counterparts under every scheme, each with the same tries and seeds, and report
    accuracy, spread, paired differences, memory and Flops: the paper's Tables 3 and 6 in small, and its Figures 1, 2, 4
    and 5 from the trained networks.

    What was interrupted goes on when called again with the same folder, where seeds and systems may be added.

    \b
    Example:
      paconv compare -o comparison
      paconv compare -o mine --model resnet18 --data folder:images \\
        --system float --system pa:4,5 --jobs 1
    """
    # Loading torch takes seconds.
    from paconv.reporting.tables import to_json
    from paconv.studies.accuracy import SYSTEMS, Study, parse_system, write_report
    from paconv.studies.accuracy import compare as run
    from paconv.studies.accuracy.tables import differences_table, results_table

    check_matplotlib("the report")
    cores = usable_cores()
    jobs = cores if jobs is None else jobs
    given = {name: value for name, value in options.items() if value not in (None, ())}
    given.setdefault("float_epochs", given["epochs"])
    study = Study(systems=tuple(map(parse_system, systems)) or SYSTEMS, **given)
    with progress_bar("comparing") as update:
        found = run(study, output / "runs", jobs=jobs, threads=max(1, cores // jobs), update=update)
    written = write_report(found, output / "runs", output / "report")
    if style == "json":
        click.echo(to_json(found.as_data()), nl=False)
        return
    tables = [
        table for data in study.data for table in (results_table(found, data, data), differences_table(found, data))
    ]
    if not quiet:
        print_tables(tables, style)
    if style == "table":
        click.echo(("" if quiet else "\n") + str(written[0]))

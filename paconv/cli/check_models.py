"""`paconv check-models`: the ready-made architectures through the whole way, under one scheme or several."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from paconv.cli.console import print_tables, progress_bar
from paconv.cli.output import TABLES, output_options
from paconv.cli.ranges import SEED
from paconv.errors import PaconvError

__all__ = ["check_models"]

_SCHEMES = ("pa:4,5", "pa:8,7", "pa:4,full", "bireal")


@click.command("check-models")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--scheme",
    "schemes",
    multiple=True,
    metavar="SCHEME[:M,N]",
    default=_SCHEMES,
    show_default=True,
    help="May be repeated.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the random weights.")
@output_options(TABLES)
def check_models(names: tuple[str, ...], schemes: tuple[str, ...], seed: int, style: str, quiet: bool) -> None:
    """Build each architecture of paconv.models (all of them, or those NAMEd) with random weights under each scheme, and
    export, optimize and verify it at its real input size. Nothing is left behind.

    Exits with 1 if in any of them a convolution isn't converted or something differs. A ResNet18 takes some ten
    seconds, all of them under the four schemes half an hour.

    \b
    Example:
      paconv check-models
      paconv check-models resnet18 densenet121 --scheme pa:8,6
      paconv check-models resnet18 --scheme xnor --scheme lqnet:2,2 --format json
    """
    # Loading torch takes seconds.
    from paconv.models import input_shape
    from paconv.models import names as known
    from paconv.nn.schemes import parse_scheme
    from paconv.reporting.tables import to_json
    from paconv.studies.architectures import check_architecture

    chosen = names or tuple(known())
    for name in chosen:
        input_shape(name)
    pairs = [(name, word, parse_scheme(word)) for name in chosen for word in schemes]
    checked = []
    with progress_bar("checking") as update:
        for done, (name, word, scheme) in enumerate(pairs):
            update(f"{name} {word}", done, len(pairs))
            with TemporaryDirectory() as folder:
                checked.append(check_architecture(name, scheme, word, Path(folder), seed))
    if style == "json":
        click.echo(to_json([each.as_data() for each in checked]), nl=False)
    else:
        print_tables([_table(checked)], style, quiet)
    wrong = [each for each in checked if not each.ok]
    if wrong:
        raise PaconvError(f"{len(wrong)} of {len(checked)} failed, first {_failure(wrong[0])}")


def _failure(checked) -> str:
    return " ".join(f"{checked.model} {checked.scheme}: {checked.difference}".split())


def _table(checked: list):
    from paconv.reporting.tables import Column, Table

    columns = (
        Column("model", "model", left=True),
        Column("scheme", "scheme", left=True),
        Column("converted", "converted"),
        Column("verdict", "verify", left=True),
        Column("float", "model.onnx [MB]", read="{:.2f}".format),
        Column("packed", "pa.onnx [MB]", read="{:.2f}".format),
        Column("megabits", "memory [Mbit]", read="{:.1f}".format),
        Column("flops", "Flops", read="{:.3g}".format),
        Column("seconds", "seconds", read="{:.0f}".format),
    )
    rows = [
        {
            "model": each.model,
            "scheme": each.scheme,
            "converted": f"{each.converted} of {each.eligible}",
            "verdict": "verified" if each.ok else "wrong",
            "float": each.float_bytes / 1e6,
            "packed": each.file_bytes / 1e6,
            "megabits": each.bits / 1e6,
            "flops": each.flops,
            "seconds": each.seconds,
        }
        for each in checked
    ]
    line = f"{sum(each.ok for each in checked)} of {len(checked)} verified"
    notes = [line]
    notes += [_failure(each) for each in checked if not each.ok]
    return Table("architectures with random weights at their real input size", columns, rows, notes=notes, line=line)

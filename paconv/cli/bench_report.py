"""`paconv bench-report`: the whole comparison on this machine, as a folder with a report."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from pathlib import Path

import click

from paconv.cli.bench import Counts
from paconv.cli.console import progress_bar
from paconv.cli.output import TEXT, output_options
from paconv.errors import UsageError
from paconv.near import did_you_mean
from paconv.reporting.tables import to_json
from paconv.studies.speed.comparison import IMAGE_NETWORKS, Options, compare_all
from paconv.studies.speed.goals import goals
from paconv.studies.speed.report import DATA, PICTURE, REPORT, check_report, write_report

__all__ = ["bench_report"]

_STEPS = 1000
_QUICK_NETWORKS, _QUICK_LAYER_SECONDS, _QUICK_NETWORK_SECONDS = ("resnet18",), 2.0, 10.0


@click.command("bench-report")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help=f"Folder for {REPORT}, {PICTURE} and {DATA}; it is made.",
)
@click.option("--quick", is_flag=True, help="ResNet18 alone and short turns: a minute or two, and noisier.")
@click.option(
    "--threads",
    type=Counts(),
    default="1,2",
    show_default=True,
    help="Threads of onnxruntime's pool; the targets are of the first count.",
)
@click.option(
    "--networks",
    metavar="NAMES",
    help=f"Which of {','.join(IMAGE_NETWORKS)}, with commas between, or none.  [default: all]",
)
@click.option("--layers/--no-layers", default=True, show_default=True, help="Time single layers.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Time for each network; a fifth of it for each layer.  [default: 60, with --quick 10]",
)
@click.option(
    "--larq-python",
    metavar="PATH",
    help="A Python that has larq-compute-engine, tensorflow, tf-keras, larq "
    "and larq-zoo, to time Larq Compute Engine beside.",
)
@output_options(TEXT, "What is printed of the targets; the folder has all of it.")
def bench_report(
    folder: Path,
    quick: bool,
    threads: list[int],
    networks: str | None,
    layers: bool,
    seconds: float | None,
    larq_python: str | None,
    style: str,
    quiet: bool,
) -> None:
    """Compare PABitConv with onnxruntime's float and 8-bit convolutions and with Larq Compute Engine, on this machine.

    Single layers and whole ResNets with random weights, what their files and their serving take, and all of it beside
    what was aimed at. Needs torch (pip install "paconv[torch,plot]"). The whole run takes about ten minutes on two
    cores; the machine should have nothing else to do.

    \b
    Example:
      paconv bench-report -o report
      paconv bench-report -o report --quick
      paconv bench-report -o report --networks none --threads 1
    """
    options = Options(layers=Options().layers if layers else (), threads=threads, larq_python=larq_python)
    if quick:
        options = replace(options, networks={name: IMAGE_NETWORKS[name] for name in _QUICK_NETWORKS},
                          layer_seconds=_QUICK_LAYER_SECONDS, network_seconds=_QUICK_NETWORK_SECONDS)  # fmt: skip
    if networks is not None:
        options = replace(options, networks=_chosen(networks))
    if seconds is not None:
        if not isfinite(seconds):
            raise UsageError(f"--seconds: expected a finite number above 0; found {seconds}")
        options = replace(options, layer_seconds=seconds / 5, network_seconds=seconds)
    if not options.layers and not options.networks:
        raise UsageError("--no-layers with --networks none leaves nothing to compare")
    check_report(folder)
    with progress_bar("starting") as update:
        result = compare_all(options, lambda what, done: update(what, int(_STEPS * done), _STEPS))
    write_report(result, folder)
    rows = goals(result)
    if style == "json":
        click.echo(to_json([row.as_data() for row in rows]), nl=False)
        return
    for row in [] if quiet else rows:
        click.echo(f"{row.what}: {row.target}; {row.measured}: {row.verdict}")
    click.echo(f"{folder / REPORT}")


def _chosen(text: str) -> dict[str, tuple[int, ...]]:
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in IMAGE_NETWORKS]
    if unknown:
        raise UsageError(
            f"--networks: expected none, or names among {', '.join(IMAGE_NETWORKS)}; found {unknown[0]!r}"
            f"{did_you_mean(unknown[0], IMAGE_NETWORKS)}"
        )
    return {name: IMAGE_NETWORKS[name] for name in names}

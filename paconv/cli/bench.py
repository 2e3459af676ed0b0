"""`paconv bench`: how fast a model is here, against others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from paconv.bench.models import bench as run_bench
from paconv.bench.tables import layers_table, milliseconds, sessions_table
from paconv.cli.console import print_tables, progress_bar
from paconv.cli.model_options import random_shape_option
from paconv.cli.output import TABLES, Choice, output_options
from paconv.cli.ranges import BATCH, MOST_THREADS, SEED
from paconv.kernels.registry import CHOICES
from paconv.onnx_file.shapes import parse_input_shapes
from paconv.reporting.tables import to_json

__all__ = ["Counts", "bench"]

_STEPS = 1000


class Counts(click.ParamType):
    """Numbers with commas between: 1,2."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() and len(part) < 10 and 0 < int(part) <= MOST_THREADS for part in parts):
            self.fail(f"expected counts of 1 to {MOST_THREADS}, such as 1,2; found {value!r}", param, ctx)
        return [int(part) for part in parts]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another ONNX model to time beside MODEL: its float parent, model.onnx, an 8-bit one. May be repeated.",
)
@click.option(
    "--int8",
    is_flag=True,
    help="Time the first float model as onnxruntime quantizes it too, in the 8-bit form that it advises for this CPU.",
)
@click.option(
    "--threads",
    type=Counts(),
    default="1",
    show_default=True,
    help="Threads of onnxruntime's pool; several counts with commas between.",
)
@click.option("--per-layer", is_flag=True, help="Time each PABitConv of MODEL alone too.")
@click.option(
    "--kernel",
    type=Choice(["auto", *CHOICES]),
    help="What PABitConv runs with; auto: the faster exact one, layer by layer (paconv inspect).",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Time for the models, and again for the layers at each thread count.",
)
@click.option("--inputs", type=click.Path(path_type=Path), help="Arrays to feed, one for each input (.npz).")
@click.option("--batch", default=1, show_default=True, type=BATCH, help="Random samples, without --inputs.")
@click.option("--seed", default=0, show_default=True, type=SEED, help="Seed of the random samples.")
@random_shape_option
@output_options(TABLES)
def bench(
    model: Path,
    against: tuple[Path, ...],
    int8: bool,
    threads: list[int],
    per_layer: bool,
    kernel: str | None,
    seconds: float,
    inputs: Path | None,
    batch: int,
    shapes: tuple[str, ...],
    seed: int,
    style: str,
    quiet: bool,
) -> None:
    """Time MODEL on this machine: best and median of many calls, the models taken in turns.

    Ratios hold on a machine that does other things too, milliseconds less so. The result says what it was measured on.
    Beside the time of a model with 8-bit integers stand its form and its largest error against the first float model,
    and where its sums saturate on this CPU, as onnxruntime's usual form does without VNNI, that is said.

    \b
    Example:
      paconv bench pa.onnx --against float.onnx --threads 1,2
      paconv bench pa.onnx --per-layer
      paconv bench pa.onnx --against float.onnx --int8
      paconv bench pa.onnx --against float.onnx --against int8.onnx --format json
    """
    sizes = parse_input_shapes(shapes)
    with progress_bar("opening") as update:
        result = run_bench(
            model, against, threads=threads, seconds=seconds, int8=int8, kernel=kernel, per_layer=per_layer,
            inputs=inputs, batch=batch, seed=seed, input_shape=sizes,
            progress=lambda what, done: update(what, int(_STEPS * done), _STEPS),
        )  # fmt: skip
    if style == "json":
        click.echo(to_json(result.as_data()), nl=False)
        return
    if quiet and style == "table":
        for session in result.sessions:
            ratio = "" if session.file == result.sessions[0].file else f", {result.against(session):.2f}x the first's"
            best = milliseconds(session.timing.best)
            click.echo(f"{Path(session.file).name}, {session.threads} threads: {best} ms at best{ratio}")
        return
    print_tables([sessions_table(result), *([layers_table(result)] if result.layers else [])], style)

"""`paconv export`: a checkpoint -> model.onnx."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import click
from rich.console import Console

from paconv.cli.model_options import trust_pickle_option
from paconv.cli.output import TEXT, output_options
from paconv.errors import UsageError
from paconv.grid import DEFAULT_GRID, parse_grid
from paconv.input_shape import Shape, parse_shape

__all__ = ["export"]


@click.command()
@click.argument("checkpoint", metavar="MODEL.PT", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write [default: MODEL.onnx].")
@click.option(
    "--model",
    "factory",
    metavar="PKG.MOD:FUNCTION",
    help="Function that returns the float model; for a checkpoint of a model that is not one of paconv.models.",
)
@trust_pickle_option
@click.option(
    "--state-dict",
    metavar="KEY",
    help="Where the weights lie in a training checkpoint, such as state_dict or ema.model, with dots between keys; "
    "what names of weights begin with may follow [default: found, where there is only one].",
)
@click.option(
    "--input-shape",
    "input_shapes",
    metavar="[NAME=]CxHxW",
    multiple=True,
    help="Shape of the input without the batch; once for each input, in the order of forward's arguments or by their "
    "names [default: the checkpoint's].",
)
@click.option("--dynamic-size", is_flag=True, help="Leave height and width free, as the batch always is.")
@click.option(
    "--grid",
    default=DEFAULT_GRID,
    show_default=True,
    metavar="A,B",
    help="Largest integers that levels of weights and activations are to be times a unit; none for real levels. The "
    "default, 15,31 for PA, leaves a model that is on a grid since training where it is.",
)
@output_options(TEXT, "json has the error of every layer's levels.")
def export(
    checkpoint: Path,
    output: Path | None,
    factory: str | None,
    trust_pickle: bool,
    state_dict: str | None,
    input_shapes: tuple[str, ...],
    dynamic_size: bool,
    grid: str,
    style: str,
    quiet: bool,
) -> None:
    """Write the PA model in MODEL.PT as ONNX, each quantizer a call of a model-local function.

    The file runs in any onnxruntime from 1.17; `paconv optimize` makes it small and fast.

    \b
    Examples:
      paconv export model.pt
      paconv export model.pt -o model.onnx --input-shape 3x224x224
      paconv export model.pt --model mypackage.nets:make_net
      paconv export training.ckpt --model mypackage.nets:make_net \\
        --state-dict state_dict.model --input-shape 3x224x224
      paconv export model.pt --grid none
      paconv export two_inputs.pt --model nets:make \\
        --input-shape 3x224x224 --input-shape 10
    """
    shapes, chosen = _shapes(input_shapes), parse_grid(grid)
    output = checkpoint.with_suffix(".onnx") if output is None else output
    console = Console(file=sys.stderr)  # this very stream: while torch exports, sys.stderr is another
    with console.status(f"exporting {checkpoint} ...") if console.is_terminal else nullcontext():
        # Loading torch takes seconds; what is wrong with the options is reported first.
        from paconv.checkpoint.factory import users_model
        from paconv.to_onnx.exporter import export as export_model

        with users_model(checkpoint, factory, trust_pickle, state_dict) as found:
            done = export_model(found, output, shapes, dynamic_size=dynamic_size, grid=chosen, read_from=checkpoint)
    if style == "json":
        click.echo(json.dumps(done.as_data(), indent=1))
        return
    click.echo(f"{done.path}: {done.size / 1e6:.2f} MB, {done.quantized} quantized and {done.real} real convolutions")
    if done.levels is not None and not quiet:
        click.echo(f"{done.path}: {done.levels}")


def _shapes(given: tuple[str, ...]) -> tuple[Shape, ...] | dict[str, Shape] | None:
    """None where there is none; by name where they have names."""
    named = [text.rpartition("=") for text in given]
    names = [name for name, _, _ in named]
    if any(names) and not (all(names) and len(set(names)) == len(names)):
        raise UsageError(
            f"--input-shape: expected each input once and by name, or all without, found {', '.join(given)}"
        )
    shapes = tuple(parse_shape(text) for _, _, text in named)
    return dict(zip(names, shapes, strict=True)) if any(names) else shapes or None

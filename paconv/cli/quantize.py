"""`paconv quantize`: a trained float network and some of its inputs -> model.onnx."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from paconv.cli.console import output_console, print_table, print_tables, progress_bar, progress_console
from paconv.cli.model_options import factory_option, trust_pickle_option
from paconv.cli.output import TABLES, Choice, output_options
from paconv.cli.ranges import SEED
from paconv.cli.schemes import SchemeType, Spelled, parse_planes
from paconv.cost.units import duration
from paconv.errors import UsageError
from paconv.files import replacing
from paconv.grid import DEFAULT_GRID, parse_grid
from paconv.input_shape import parse_shape
from paconv.onnx_file.shapes import parse_input_shapes
from paconv.quantization.api import is_checkpoint
from paconv.quantization.api import quantize as run_quantize
from paconv.quantization.quantize import Quantized
from paconv.reporting.tables import Column, Table, to_json

__all__ = ["quantize"]

_FEW = 64
"""Images from which on more hardly change the answers (docs/post-training.md)."""

_FAR = 16.0
"""Decibels of an output above its error: PP-OCRv4's recognizer lost 2.8 points at 15.7, 0.1 at 17.3."""

_LONG = 5.0
"""Seconds after which something is said where no bar is seen."""


_PLANES = SchemeType(["pa"], digits=True)
"""What --scheme and --worst-levels say."""


class _Numbers(click.ParamType):
    """One number, or several with commas between."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[float]:
        try:
            return [float(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"expected numbers such as 0.5 or 0.485,0.456,0.406; found {value!r}", param, ctx)


def _planes(scheme: Spelled, M: int | None, N: str | None) -> tuple[int, int | None]:
    """M and N, from --scheme where -M and -N don't say; (4, 5) where nothing does. UsageError where digits say both."""
    if scheme.digits and (M is not None or N is not None):
        raise UsageError("--scheme pa:M,N,digits has the planes already; leave out -M and -N")
    weights = scheme.M if M is None else M
    activations = scheme.N if N is None else parse_planes(N, "-N")
    return 4 if weights is None else weights, 5 if activations is None else _real(activations)


def _real(N: int | str | None) -> int | None:
    """N as the Python calls take it: None for full precision."""
    return N if isinstance(N, int) else None


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    metavar="IMAGES",
    required=True,
    help="A folder of pictures, an .npz file by name of the inputs, or mnist:FOLDER. No labels are needed.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("model.onnx"), show_default=True)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="MODEL.PT",
    help="Of a torch checkpoint: write the quantized network as one too; paconv train --from goes on with those of "
    "paconv.models, paconv.train.fit with any.",
)
@click.option(
    "--scheme",
    type=_PLANES,
    default="pa:4,5",
    show_default=True,
    metavar="pa:M,N[,digits]",
    help="M weight planes: 2, 4, 6 or 8; N activation planes: 1 to 8, or full. Digits: planes are the binary digits of "
    "2^M and 2^N levels; M is 2 to 5, N as before.",
)
@click.option("-M", "M", type=int, help="Weight planes of --scheme, spelled apart.")
@click.option("-N", "N", help="Activation planes of --scheme, spelled apart.")
@click.option("--count", type=click.IntRange(1), default=512, show_default=True, help="Most images to take.")
@click.option("--mean", type=_Numbers(), help="Of each channel of pictures, from 0 to 1  [default: 0]")
@click.option("--std", type=_Numbers(), help="Of each channel of pictures  [default: 1]")
@click.option("--size", metavar="HxW", help="Size of pictures where the network leaves it free: 224 or 224x320.")
@click.option("--fast", is_flag=True, help="Leave out the regression and the error feedback.")
@click.option(
    "--grid",
    default=DEFAULT_GRID,
    show_default=True,
    metavar="A,B",
    help="Largest integers that levels of weights and activations are times a unit; none for real levels.",
)
@click.option(
    "--signed",
    type=Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Levels below 0 for activations that no ReLU left.",
)
@click.option("--keep", multiple=True, metavar="LAYER", help="Layer that stays real; * and ? are wildcards.")
@click.option("--first", type=Choice(["real", "pa"]), default="real", show_default=True)
@click.option("--last", type=Choice(["real", "pa"]), default="real", show_default=True)
@click.option("--depthwise", type=Choice(["real", "pa"]), default="real", show_default=True)
@click.option("--linear", type=Choice(["real", "pa"]), default="real", show_default=True)
@click.option(
    "--most-error",
    type=click.FloatRange(min=0),
    metavar="E",
    help="A layer that adds more than E to the relative squared error of its output stays real.",
)
@click.option(
    "--keep-worst",
    "worst",
    type=click.IntRange(0),
    default=0,
    metavar="K",
    help="Leave the K layers real that add most to the error. Takes twice as long.",
)
@click.option(
    "--worst-levels",
    type=_PLANES,
    metavar="pa:M,N[,digits]",
    help="Give these K layers so many planes instead, such as pa:8,7.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of what is drawn at random.")
@click.option(
    "--input-shape",
    "shapes",
    multiple=True,
    metavar="SHAPE",
    help="Of a checkpoint: CxHxW, once per input. Of an ONNX file: sizes of free dimensions, as in paconv cost.",
)
@factory_option
@trust_pickle_option
@click.option(
    "--state-dict", metavar="KEY", help="Where the weights lie in a training checkpoint, as in paconv export."
)
@output_options(TABLES)
def quantize(
    model: Path,
    data: str,
    output: Path,
    checkpoint: Path | None,
    scheme: Spelled,
    M: int | None,
    N: str | None,
    count: int,
    mean: list[float] | None,
    std: list[float] | None,
    size: str | None,
    fast: bool,
    grid: str,
    signed: str,
    keep: tuple[str, ...],
    first: str,
    last: str,
    depthwise: str,
    linear: str,
    most_error: float | None,
    worst: int,
    worst_levels: Spelled | None,
    seed: int,
    shapes: tuple[str, ...],
    factory: str | None,
    trust_pickle: bool,
    state_dict: str | None,
    style: str,
    quiet: bool,
) -> None:
    """Quantize the trained float network MODEL without labels or training.

    MODEL is a torch checkpoint, or a float ONNX file of any producer. What is written is for paconv optimize.

    \b
    Examples:
      paconv quantize float.onnx --data pictures/ --mean 0.485,0.456,0.406 \\
        --std 0.229,0.224,0.225
      paconv quantize float.pt --model nets:make --input-shape 3x224x224 \\
        --data images.npz --scheme pa:8,7
      paconv quantize float.onnx --data images.npz --scheme pa:5,7,digits
      paconv quantize float.onnx --data images.npz --keep-worst 2 -o model.onnx
      paconv quantize float.pt --data pictures/ --checkpoint quantized.pt
    """
    options: dict[str, Any] = {
        "digits": scheme.digits,
        "checkpoint": checkpoint,
        "grid": parse_grid(grid),
        "fast": fast,
        "signed": {"auto": "auto", "always": True, "never": False}[signed],
        "keep": keep,
        "first": first,
        "last": last,
        "depthwise": depthwise,
        "linear": linear,
        "most_error": most_error,
        "worst": worst,
        "worst_levels": None if worst_levels is None else (*_planes(worst_levels, None, None), worst_levels.digits),
        "count": count,
        "mean": mean,
        "std": std,
        "size": None if size is None else _size(size),
        "seed": seed,
        "trust_pickle": trust_pickle,
        "state_dict": state_dict,
    }
    if worst_levels is not None and not worst:
        raise UsageError("--worst-levels says what the layers of --keep-worst K get; give that too")
    _check_apart(MODEL=model, output=output, checkpoint=checkpoint)
    weights, activations = _planes(scheme, M, N)
    with replacing(output) as temporary, _progress(model) as update:
        found = _run(model, data, weights, activations, shapes, factory, options, update)
        found.save(temporary)
    if found.samples < _FEW:
        images = f"{found.samples} image{'s' if found.samples > 1 else ''}"
        click.echo(
            f"paconv: {images}: from fewer than {_FEW}, more answers differ from float; give a few hundred",
            err=True,
        )
    if style == "json":
        click.echo(to_json({"output": str(output), **found.as_data()}), nl=False)
        return
    if style != "table":
        print_tables([_layers_table(found)], style)
        return
    if not quiet:
        print_layers(found)
        if output_far := _far(found):
            click.echo(f"{output_far}: --scheme pa:5,7,digits has more levels, and takes as long")
    click.echo(f"{output}: {summary(found)}")


@contextmanager
def _progress(model: Path) -> Iterator[Callable[[str, int, int], None]]:
    """A bar; where none is seen, a line on stderr once the work has gone on for a while, and one at its end."""
    start, said = perf_counter(), False

    def spoken(layer: str, done: int, total: int) -> None:
        nonlocal said
        update(layer, done, total)
        if not (said or seen) and perf_counter() - start > _LONG:
            click.echo(f"paconv: quantizing {model}, {done} of {total} layers done", err=True)
            said = True

    seen = progress_console().is_terminal
    with progress_bar("reading") as update:
        yield spoken
    if said:
        click.echo(f"paconv: quantized in {duration(perf_counter() - start)}", err=True)


def _far(found: Quantized) -> str:
    """The output that is furthest from the float network's, where that is far and digits might bring it nearer."""
    output = min(found.outputs, key=lambda each: each.snr_db, default=None)
    if output is None or output.snr_db >= _FAR or not any(layer.N and not layer.digits for layer in found.pa):
        return ""
    return f"{output.name} is {output.snr_db:.1f} dB above its error, which may be too little"


def _check_apart(**files: Path | None) -> None:
    """Raise UsageError if two of the files are one: a float network would be lost."""
    seen: dict[str, str] = {}
    for what, path in files.items():
        if path is not None and (other := seen.setdefault(os.path.realpath(path), what)) != what:
            raise UsageError(f"{path}: expected another file for the {what}; it is {other} too")


def _run(
    path: Path,
    data: str,
    M: int,
    N: int | None,
    shapes: tuple[str, ...],
    factory: str | None,
    options: dict[str, Any],
    update: Any,
) -> Quantized:
    state_dict = options.pop("state_dict")
    if not is_checkpoint(path):
        if factory is not None or state_dict is not None:
            option = "--state-dict" if factory is None else "--model"
            raise UsageError(f"{option} tells how to read a checkpoint; MODEL is an ONNX file")
        sizes = parse_input_shapes(shapes) if shapes else None
        return run_quantize(path, data, M, N, input_shape=sizes, progress=update, **options)
    from paconv.checkpoint.factory import users_model

    shape = tuple(map(parse_shape, shapes)) or None
    with users_model(path, factory, options.pop("trust_pickle"), state_dict) as found:
        return run_quantize(found, data, M, N, input_shape=shape, read_from=path, progress=update, **options)


def _size(text: str) -> int | tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--size: expected pixels such as 224 or 224x320 (height x width); found {text!r}")
    sizes = [int(part) for part in parts]
    return sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])


def print_layers(found: Quantized) -> None:
    """Print a line per layer, and why those that stay real do."""
    print_table(_layers_table(found))
    console = output_console()
    for output in found.outputs:
        chosen = "" if output.same_choice is None else f", same choice at {100 * output.same_choice:.1f} %"
        console.print(f"output {output.name}: {output.snr_db:.1f} dB above the error{chosen}", soft_wrap=True)


def _layers_table(found: Quantized) -> Table:
    def percent(value: float) -> str:
        return f"{100 * value:.2f} %"

    columns = [
        Column("name", "layer", left=True, folds=True),
        Column("shape", "weight", left=True),
        Column("form", "form", left=True),
        Column("reads", "reads", left=True),
        Column("error", "error", read=percent),
        Column("added", "added", read=percent),
    ]
    rows = [
        {
            "name": layer.name,
            "shape": "x".join(map(str, layer.shape)),
            "form": layer.scheme or layer.code,
            "reads": layer.reads,
            "error": layer.error,
            "added": layer.added if layer.form == "pa" else None,
        }
        for layer in found.layers
    ]
    notes = [
        "error: squared, of the layer's output, relative to the float network's variance; added: without which it "
        "would be that much lower, if this layer stayed real",
    ]
    reasons = {layer.code: layer.reason for layer in found.layers if layer.code}
    notes += [f"{code}: {reason}" for code, reason in sorted(reasons.items())]
    return Table("", columns, rows, notes=notes)


def summary(found: Quantized) -> str:
    """One line: how much was quantized, and what it will weigh."""
    macs = "" if found.macs_share is None else f"{100 * found.macs_share:.1f} % of MACs, "
    share = 0.0 if found.parameters_share is None else 100 * found.parameters_share
    return (
        f"{len(found.pa)} of {len(found.layers)} layers quantized from {found.samples} samples ({macs}"
        f"{share:.1f} % of weights); the float file has {found.float_bytes / 1e6:.2f} MB, paconv optimize makes about "
        f"{found.packed_bytes / 1e6:.2f} MB of it"
    )

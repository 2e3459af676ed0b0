"""`paconv train`: data -> a trained network, float or quantized."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from paconv.cli.output import TEXT, Choice, output_options
from paconv.cli.ranges import EPOCHS, SEED, THREADS, WORKERS
from paconv.cli.schemes import METAVAR, SchemeType, Spelled, given_planes
from paconv.errors import UsageError
from paconv.files import write_text
from paconv.grid import DEFAULT_GRID, parse_grid
from paconv.reporting.tables import to_json
from paconv.schemes import SCHEMES

if TYPE_CHECKING:
    from torch import nn

    from paconv.train.recipe import Recipe
    from paconv.train.watching import Watcher

__all__ = ["train"]

_OF_THIS_RUN = ("output", "resume", "style", "quiet")

_FINE_TUNING_RATE = 5e-4
"""Of adam for a network by `paconv quantize`, whose weights all start on a level. On noised digits (digits_resnet, M=2,
N=2, three epochs) accuracy went from 79.6 % to 78.2 % at 0.002, 82.2 % at 0.0005 and 81.8 % at 0.0002.
"""

_OPTIONS = "options.json"
"""In the output folder: the options of the command, which --resume takes up."""


@click.command()
@click.option("--model", metavar="NAME", help="Architecture of paconv.models, such as resnet18 or digits_resnet.")
@click.option(
    "--architecture",
    metavar="NAME=VALUE",
    multiple=True,
    help="Further argument of the architecture, such as activation=clip of bireal18. May be repeated.",
)
@click.option(
    "--data",
    metavar="SOURCE",
    multiple=True,
    help="folder:PATH, voc:PATH[:TRAINING[,HELD_OUT]], mnist:PATH, digits[:NOISE] or synthetic. Several are trained on "
    "together.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Folder for model.pt and everything else.",
)
@click.option(
    "--scheme", type=SchemeType(SCHEMES), default="pa", show_default=True, metavar=METAVAR,
    help="pa:4,5, pa:4,full, bireal, ...: a scheme of paconv.convert and its planes; or float for no quantization.",
)  # fmt: skip
@click.option("-M", "--M", "M", type=int, help="Weight planes of --scheme, spelled apart.")
@click.option("-N", "--N", "N", help="Activation planes of --scheme, spelled apart; full for full-precision ones.")
@click.option(
    "--linear",
    metavar="real|SCHEME",
    help="real keeps linear layers that aren't heads real, the scheme's name converts them [default: real].",
)
@click.option(
    "--signed",
    type=Choice(["auto", "always", "never"]),
    help="Levels of pa below 0, for activations that may be negative, all or none [default: auto].",
)
@click.option(
    "--grid",
    default=DEFAULT_GRID,
    show_default=True,
    metavar="A,B",
    help="Largest integers that levels of weights and activations are times a unit after training; none for "
    "real levels. The default is 15,31 for PA.",
)
@click.option(
    "--float",
    "parent",
    type=click.Path(path_type=Path),
    metavar="MODEL.PT",
    help="Trained float network to start from [default: it is trained first, in FOLDER/float].",
)
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path),
    metavar="MODEL.PT",
    help="Quantized network to train as it is, by paconv quantize --checkpoint or another training. It has its own "
    "scheme, M and N, and names its architecture.",
)
@click.option(
    "--backbone",
    type=click.Path(path_type=Path),
    metavar="MODEL.PT",
    help="Trained float classifier that a detector starts from, its last layer left out.",
)
@click.option("--epochs", type=EPOCHS, default=30, show_default=True)
@click.option("--float-epochs", type=EPOCHS, help="Epochs of the float network [default: as --epochs].")
@click.option("--batch-size", type=int, default=64, show_default=True, help="Of all processes together.")
@click.option("--optimizer", default="adam", show_default=True, metavar="NAME", help="adam (AdamW) or sgd.")
@click.option("--lr", type=float, help="Learning rate [default: 0.002 for adam, 0.0005 with --from; 0.05 for sgd].")
@click.option("--float-lr", type=float, help="Learning rate of the float network [default: as --lr].")
@click.option("--momentum", type=float, default=0.9, show_default=True, help="Of sgd.")
@click.option(
    "--weight-decay", type=float, help="Not on endpoints and levels [default: 0.01 for adam, 0.0001 for sgd]."
)
@click.option("--schedule", default="cosine", show_default=True, metavar="NAME", help="cosine or step.")
@click.option("--decay", type=float, default=0.1, show_default=True, help="Factor of the step schedule.")
@click.option("--decay-every", type=int, metavar="EPOCHS", help="For the step schedule [default: a third of all].")
@click.option(
    "--warmup", type=float, default=0.0, show_default=True, metavar="EPOCHS", help="In which the rate rises from 0."
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Side of the images [default: 224; voc: 300; mnist: 28].",
)
@click.option("--workers", type=WORKERS, default=0, show_default=True, help="Processes that read images.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--threads", type=THREADS, help="Of torch, in each process [default: torch's].")
@click.option("--device", type=Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--checkpoint-steps",
    type=int,
    default=1000,
    show_default=True,
    help="Steps between two checkpoints; there is one after each epoch too.",
)
@click.option(
    "--tensorboard/--no-tensorboard",
    default=find_spec("tensorboard") is not None,
    help="Write logs for TensorBoard [default: if it is installed].",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the training in FOLDER, with its options where none are given; begin if there is none.",
)
@output_options(TEXT, "json has the measures of every epoch, when it is done.")
@click.pass_context
def train(context: click.Context, **options) -> None:
    """Train a network: float first, then approximated and fine-tuned (Algorithm 1). FOLDER/model.pt is the result.

    The result's speed on this machine is predicted first, beside float: from the rates that `paconv cost --host` keeps,
    or else shipped ones. A training that was killed goes on with --resume, and ends with the same weights.

    \b
    Examples:
      paconv train --model digits_resnet --data digits -o run
      paconv train --model resnet18 --data folder:imagenet --float resnet18.pt \\
        --scheme pa:8,7 --workers 8 -o run
      paconv train --model ssd300 --data voc:VOC2007 --data voc:VOC2012:trainval \\
        --backbone resnet50.pt -o run
      paconv train --from quantized.pt --data folder:imagenet --epochs 2 \\
        --lr 0.0005 -o run
      paconv train -o run --resume
      torchrun --nproc-per-node=2 -m paconv train --model resnet18 \\
        --data folder:imagenet -o run
    """
    output, resume = options["output"], options["resume"]
    style, quiet = options.pop("style"), options.pop("quiet")
    silent = quiet or style == "json"
    options["scheme"], options["M"], options["N"] = _apart(options["scheme"], options["M"], options["N"])
    if resume:
        options = _taken_up(context, options)
    if options["start"] is not None:
        _check_alone(context, options["start"])
    for name in ("model", "data"):
        if not options[name] and not (name == "model" and options["start"] is not None):
            raise UsageError(f"--{name} is missing" + (f"; {output} holds no training to resume" if resume else ""))

    # Loading torch takes seconds.
    import torch

    from paconv.cli.training_progress import PredictedSpeed, TrainingBar
    from paconv.train.data import open_source
    from paconv.train.data.mixed import mixed
    from paconv.train.distributed import joined_processes
    from paconv.train.recipe import FLOAT
    from paconv.train.recipe import train as run
    from paconv.train.tensorboard import TensorBoardLog

    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    options["threads"] = torch.get_num_threads()
    device = options["device"]
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("--device cuda: torch sees no such device here")
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(device)
    recipe = _recipe(options)
    source = mixed([open_source(spec, seed=options["seed"], size=options["size"]) for spec in options["data"]])

    first: list[Watcher] = []  # of the first training alone

    def watchers(what: str, folder: Path) -> list[Watcher]:
        logs = [TensorBoardLog(folder / "tensorboard")] if options["tensorboard"] else []
        found = [*first, TrainingBar(what, silent), *logs]
        first.clear()
        return found

    with joined_processes(device) as ranks:

        def started(model: nn.Module) -> None:
            if recipe.scheme != FLOAT and not silent:
                first.append(PredictedSpeed(model, source.input_shape))
            if ranks.first and not (resume and (output / _OPTIONS).exists()):
                _remember(output, options)

        history = run(
            recipe,
            source,
            output,
            resume=resume,
            checkpoint_steps=options["checkpoint_steps"],
            workers=options["workers"],
            watchers=watchers,
            device=device,
            started=started,
        )
        if ranks.first:
            result = output / "model.pt"
            size = result.stat().st_size
            if style == "json":
                click.echo(to_json({"output": str(result), "bytes": size, "epochs": history}), nl=False)
            else:
                click.echo(f"{result}: {size:,} bytes")


def _apart(scheme: Spelled, M: int | None, N: str | None) -> tuple[str, int | None, str | None]:
    """The scheme's name, M and N, as --resume keeps them."""
    weights, activations = given_planes(scheme, M, N)
    return scheme.name, weights, None if activations is None else str(activations)


def _recipe(options: dict) -> Recipe:
    from paconv.nn.schemes import parse_planes
    from paconv.train.pretrained import architecture_of
    from paconv.train.recipe import FLOAT, Recipe
    from paconv.train.settings import Settings

    names = ("epochs", "batch_size", "optimizer", "lr", "momentum", "weight_decay", "schedule", "decay", "decay_every",
             "warmup", "seed")  # fmt: skip
    given = {name: options[name] for name in names}
    if options["start"] is not None and given["lr"] is None and given["optimizer"] == "adam":
        given["lr"] = _FINE_TUNING_RATE
    settings = Settings(**given)
    changes = {name: options[f"float_{name}"] for name in ("epochs", "lr") if options[f"float_{name}"] is not None}
    if changes and options["scheme"] == FLOAT:
        raise UsageError("--float-epochs and --float-lr are for the way to another scheme; give --epochs and --lr")
    planes: dict[str, int | None] = {} if options["M"] is None else {"M": options["M"]}
    if options["N"] is not None:
        planes["N"] = parse_planes(options["N"], "-N")
    quantized: dict[str, Any] = dict(planes)
    if options["linear"] is not None:
        quantized["linear"] = options["linear"]
    if options["signed"] is not None:
        quantized["signed"] = {"auto": "auto", "always": True, "never": False}[options["signed"]]
    float_settings = replace(settings, **changes) if changes else None
    model, start = options["model"], options["start"]
    if not model:
        model = architecture_of(start)
        if model is None:
            raise UsageError(f"--model is missing: {start} doesn't name its architecture")
    return Recipe(
        model, settings, options["scheme"], quantized, float_settings, options["parent"], options["backbone"],
        architecture=dict(map(_argument, options["architecture"])), grid=parse_grid(options["grid"]),
        start=start,
    )  # fmt: skip


def _check_alone(context: click.Context, start: Path) -> None:
    """Raise UsageError if an option was given that says how a float network is made, or quantized."""
    flags = {"scheme": "--scheme", "M": "-M", "N": "-N", "linear": "--linear", "signed": "--signed",
             "parent": "--float", "backbone": "--backbone", "float_epochs": "--float-epochs",
             "float_lr": "--float-lr"}  # fmt: skip
    given = [flag for name, flag in flags.items() if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if given:
        raise UsageError(f"--from: {start} is quantized already and trained as it is; leave out {', '.join(given)}")


def _argument(text: str) -> tuple[str, int | str]:
    """NAME=VALUE as (name, value); what is a whole number becomes one."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--architecture: expected NAME=VALUE, such as activation=clip; found {text!r}")
    return name, int(value) if value.isdecimal() else value


def _remember(output: Path, options: dict) -> None:
    """Write the options where `_taken_up` finds them."""
    output.mkdir(parents=True, exist_ok=True)
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in options.items() if name not in _OF_THIS_RUN}
    write_text(output / _OPTIONS, json.dumps(plain, indent=1))


def _taken_up(context: click.Context, options: dict) -> dict:
    """The options, those of the interrupted command where none are given."""
    path = options["output"] / _OPTIONS
    kinds = {each.name: each for each in context.command.params}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"found {type(found).__name__}")
        known = {name: value for name, value in found.items() if name in options}
        before = {name: kinds[name].type_cast_value(context, value) for name, value in known.items()}
        if isinstance(before.get("scheme"), Spelled):
            before["scheme"] = before["scheme"].name  # M and N stand apart there
    except FileNotFoundError:
        return options
    except (click.BadParameter, OSError, TypeError, ValueError) as error:
        reason = error.format_message() if isinstance(error, click.BadParameter) else error
        raise UsageError(
            f"{path}: expected the options of the training, as JSON: {reason}; give all options"
        ) from error
    given = {name for name in options if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    return {name: value if name in given else before.get(name, value) for name, value in options.items()}

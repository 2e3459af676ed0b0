"""`train`: the whole way of Algorithm 1, from data to a quantized network.

The float network is trained first, in FOLDER/float, or loaded; it is converted, its activation quantizers are
calibrated, and the result is trained in FOLDER, its levels then put on a grid. One that is quantized already, as by
`paconv quantize`, is trained in FOLDER as it is. With the scheme "float" it is the float
network that is trained there. A detector's float network can start from a trained classifier as its backbone, as the
paper's section 4.4 does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paconv.errors import UsageError
from paconv.files import make_folder
from paconv.folder_lock import locked
from paconv.grid import DEFAULT_GRID, GridChoice, checked_grid
from paconv.models import build
from paconv.models.activations import activation_for
from paconv.models.registry import arguments
from paconv.near import did_you_mean
from paconv.nn.calibrate import calibrate
from paconv.nn.convert import convert
from paconv.nn.schemes.registry import SCHEMES
from paconv.train.batches import first_keys
from paconv.train.data.samples import DataSource
from paconv.train.distributed import current_ranks
from paconv.train.evaluation import moved_to
from paconv.train.fit import STATE, check_counts, fit, fit_in_locked
from paconv.train.pretrained import activation_of, quantized_from, with_backbone_of, with_weights_of
from paconv.train.randomness import seed_everything
from paconv.train.settings import Settings
from paconv.train.watching import Watcher

__all__ = ["FLOAT", "KNOWN_SCHEMES", "Recipe", "Watchers", "train"]

FLOAT = "float"
KNOWN_SCHEMES = (FLOAT, *SCHEMES)

_CALIBRATION = 128
"""Samples that the activation quantizers are calibrated on."""

Watchers = Callable[[str, Path], Sequence[Watcher]]
"""(what is trained, in which folder) -> who watches it."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how.

    Raises:
        UsageError: The scheme is unknown, or an option has no meaning with it.
    """

    model: str
    """An architecture of paconv.models."""
    settings: Settings
    """Of the quantized network, or of the float one if that is the scheme."""
    scheme: str = "pa"
    """One of KNOWN_SCHEMES."""
    options: dict = field(default_factory=dict)
    """M, N and whatever else paconv.convert takes."""
    float_settings: Settings | None = None
    """Of the float network on the way; None for the same as `settings`."""
    parent: str | os.PathLike | None = None
    """Checkpoint of a trained float network, in place of training one."""
    backbone: str | os.PathLike | None = None
    """Checkpoint of a float classifier that a detector's training starts from."""
    architecture: dict = field(default_factory=dict)
    """Arguments of `model`."""
    grid: GridChoice = DEFAULT_GRID
    """What the levels are put on in the end (`fit`)."""
    start: str | os.PathLike | None = None
    """Checkpoint of a quantized network of that architecture, which is trained as it is; its scheme and planes are
    those.
    """

    def __post_init__(self) -> None:
        checked_grid(self.grid)
        if self.scheme not in KNOWN_SCHEMES:
            raise UsageError(
                f"no scheme is called {self.scheme!r}; known are {', '.join(KNOWN_SCHEMES)}"
                f"{did_you_mean(self.scheme, KNOWN_SCHEMES)}"
            )
        if self.scheme == FLOAT and self.options:
            raise UsageError(f"scheme float has no {' and no '.join(self.options)}")
        if self.start is not None and (self.scheme == FLOAT or self.options):
            raise UsageError(f"{self.start} is quantized already; it has its own scheme, M and N")
        if self.start is not None and not (self.parent is self.float_settings is self.backbone is None):
            raise UsageError(f"{self.start} is quantized already; no float network comes before it")
        if self.parent is not None and self.float_settings is not None:
            raise UsageError(f"{self.parent} is the float network already; it isn't trained again")
        if self.parent is not None and self.backbone is not None:
            raise UsageError(f"{self.parent} is the float network already, backbone included; {self.backbone} is none")


def train(
    recipe: Recipe,
    source: DataSource,
    output: str | os.PathLike,
    *,
    resume: bool = False,
    checkpoint_steps: int = 1000,
    workers: int = 0,
    watchers: Watchers = lambda what, folder: (),
    device: str = "cpu",
    started: Callable[[nn.Module], None] = lambda model: None,
) -> list[dict]:
    """Train as `recipe` says, in the folder `output`; the result is output/model.pt.

    Args:
        recipe: What is trained, and how.
        source: What to train on.
        output: Folder for the result; the float network on the way has one below it. Made if need be.
        resume: Go on with whatever was interrupted there.
        checkpoint_steps: As for `fit`.
        workers: As for `fit`.
        watchers: Called with (what is trained, its folder) before each training; returns those to notify.
        device: As for `fit`.
        started: Called with what the result is, before any training: when the recipe is known to be possible and before
            anything is written.

    Returns:
        The measures of each epoch of the last training, as `fit` returns them.

    Raises:
        UsageError: The recipe isn't possible with these data, `output` holds a training and `resume` is false, or
            another one is at work there.
        CheckpointError: The parent, the backbone, the start or a state isn't what it should be.
        DataError: A sample can't be read.
        TrainingError: A loss or gradient is no longer finite.
    """
    output, ranks = Path(output), current_ranks()
    check_counts(checkpoint_steps, workers)

    def fitted(model: nn.Module, settings: Settings, what: str, folder: Path) -> list[dict]:
        watching = watchers(what, folder) if ranks.first else ()
        run = fit_in_locked if folder == output else fit
        return run(
            model, source, settings,
            output=folder, resume=resume, checkpoint_steps=checkpoint_steps, workers=workers, watchers=watching,
            device=device, grid=recipe.grid,
        )  # fmt: skip

    def begun(model: nn.Module) -> AbstractContextManager:
        lock = locked(make_folder(output), "training") if ranks.first else nullcontext()
        with ExitStack() as stack:
            stack.enter_context(lock)
            if not resume:
                _check_free(output)
            started(model)
            return stack.pop_all()

    if not resume:
        _check_free(output)
    if recipe.start is not None:
        quantized = quantized_from(recipe.start, recipe.model, recipe.architecture, len(source.classes))
        conversion: Any = quantized.paconv_conversion
        what = "{} M={} N={}".format(*(conversion.get(name, "pa") for name in ("scheme", "M", "N")))
        with begun(quantized):
            return fitted(quantized, recipe.settings, what, output)
    first = recipe.settings if recipe.float_settings is None else recipe.float_settings
    seed_everything(first.seed)  # the same first weights in every process
    model = build(recipe.model, num_classes=len(source.classes), **_architecture(recipe))
    if recipe.parent is not None:
        model = with_weights_of(recipe.parent, model, recipe.model, len(source.classes))
    if recipe.backbone is not None:
        model = with_backbone_of(recipe.backbone, model, recipe.model)
    # What is wrong with the scheme is reported before hours of training.
    with begun(model if recipe.scheme == FLOAT else _converted(model, recipe)):
        if recipe.scheme == FLOAT:
            return fitted(model, recipe.settings, FLOAT, output)
        if recipe.parent is None:
            fitted(model, first, FLOAT, output / FLOAT)
        quantized = _converted(model, recipe)
        if not (output / STATE).exists():
            batch = source.training.batch(first_keys(source.training, recipe.settings.seed, _CALIBRATION))
            inputs, _ = moved_to(quantized, *batch)
            # Every process calibrates on the same samples; DistributedDataParallel then takes the first one's values.
            calibrate(quantized, [inputs])
        what = recipe.scheme + "".join(f" {name}={value}" for name, value in recipe.options.items())
        return fitted(quantized, recipe.settings, what, output)


def _check_free(output: str | os.PathLike) -> None:
    """Raise UsageError if the folder holds a training."""
    for folder in (Path(output), Path(output) / FLOAT):
        if (folder / STATE).exists():
            raise UsageError(f"{folder} holds a training; go on with it (--resume, resume=True), or name another")


def _architecture(recipe: Recipe) -> dict:
    """Arguments of the architecture: those given, and its activation function if it is left open.

    That is the parent's, or what the scheme needs.
    """
    if "activation" in recipe.architecture or "activation" not in arguments(recipe.model):
        return recipe.architecture
    found = None if recipe.parent is None else activation_of(recipe.parent)
    needed = activation_for(None if recipe.scheme == FLOAT else recipe.scheme)
    return {"activation": found or needed, **recipe.architecture}


def _converted(model: nn.Module, recipe: Recipe) -> nn.Module:
    """The quantized counterpart of the float `model`.

    What its architecture keeps real when it quantizes itself, such as a detector's heads, stays real here too.
    """
    architecture: Any = model.paconv_architecture
    with torch.device("meta"):
        own: Any = build(recipe.model, **{**architecture["config"], "M": 2, "N": 1})
    return convert(model, scheme=recipe.scheme, keep=own.paconv_conversion["keep"], **recipe.options)

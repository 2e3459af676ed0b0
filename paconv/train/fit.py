"""`fit`: train one model on one data source, in a folder from which an interrupted training goes on.

FOLDER/state.pt       the whole state (paconv.train.state), replaced every few steps and after each epoch
FOLDER/history.json   measures of each epoch done
FOLDER/model.pt       the trained model (paconv.save), when all is done

The folder is locked meanwhile (paconv.folder_lock): a second training there would remove what the first is writing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from paconv.checkpoint import save as save_model
from paconv.errors import CheckpointError, PaconvError, UsageError
from paconv.files import write_text
from paconv.folder_lock import locked
from paconv.grid import DEFAULT_GRID, GridChoice, checked_grid
from paconv.nn.quantizer import Quantizer
from paconv.nn.snapping import snap_
from paconv.nn.wrapping import unwrapped
from paconv.train.batches import first_keys
from paconv.train.data.samples import DataSource
from paconv.train.distributed import Ranks, current_ranks
from paconv.train.evaluation import moved_to
from paconv.train.loop import Loop, Position
from paconv.train.optimizers import make_optimizer
from paconv.train.randomness import deterministic, random_state, seed_everything, set_random_state
from paconv.train.settings import Settings
from paconv.train.state import TrainingState, load_state, save_state
from paconv.train.tasks import Task, task_of
from paconv.train.watching import Watcher

__all__ = ["MODEL", "MOST_WORKERS", "STATE", "check_counts", "fit", "fit_in_locked"]

STATE, HISTORY, MODEL = "state.pt", "history.json", "model.pt"

MOST_WORKERS = 1024
"""Processes that read data; more are a slip of the pen."""

_MOST_STEPS = 10**9
"""Between two states: more than any training has are a slip of the pen."""

_COUNTED = 128
"""Samples on which activation levels are counted before they are put on a grid."""


def fit(
    model: nn.Module,
    source: DataSource,
    settings: Settings,
    *,
    output: str | os.PathLike | None = None,
    resume: bool = False,
    checkpoint_steps: int = 1000,
    workers: int = 0,
    watchers: Sequence[Watcher] = (),
    device: str = "cpu",
    grid: GridChoice = DEFAULT_GRID,
) -> list[dict]:
    """Train `model` in place, by Algorithm 1, and leave it in eval mode.

    Training is with real levels. After the last step those of a quantized model are put on `grid` (paconv.nn.snap_),
    and the last held-out measures are taken there. What was reached before an error stays in `output`. Of several
    processes (paconv.train.distributed) only the first writes.

    Args:
        model: A float or converted model; moved to `device`. Of one in a wrapper (DataParallel, torch.compile) the
            model within is trained.
        source: What to train on.
        settings: Optimizer, schedule, epochs and seed.
        output: Folder for the state, the history and the trained model, made if need be; None writes nothing.
        resume: Go on from the state in `output`, if there is one. The final weights are the same, bit for bit, as
            without the interruption (on one CPU process with as many threads; `workers` makes no difference).
        checkpoint_steps: Steps between two states; each epoch ends with one, too.
        workers: Processes that load data; 0 loads in this one.
        watchers: Notified of progress.
        device: torch's name of the device.
        grid: As for paconv.nn.snap_; None keeps real levels.

    Returns:
        The measures of each epoch: epoch, loss, accuracy, held_out_loss, held_out_accuracy, ... (accuracies from 0 to
            1).

    Raises:
        UsageError: Settings, model and data don't fit each other, `output` holds a training and `resume` is false, or
            another one is at work there.
        CheckpointError: The state is another training's, or damaged.
        DataError: A sample can't be read.
        TrainingError: A loss or gradient is no longer finite.
    """
    check_counts(checkpoint_steps, workers)
    if output is None or not current_ranks().first:
        lock: AbstractContextManager = nullcontext()
    else:
        lock = locked(_made(Path(output)), "training")
    with lock:
        return fit_in_locked(
            model, source, settings,
            output=output, resume=resume, checkpoint_steps=checkpoint_steps, workers=workers, watchers=watchers,
            device=device, grid=grid,
        )  # fmt: skip


def check_counts(checkpoint_steps: int, workers: int) -> None:
    """Raise UsageError for what can be no number of steps or of processes, before anything is written."""
    for name, value, least in (("checkpoint_steps", checkpoint_steps, 1), ("workers", workers, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{name} must be a whole number from {least}; found {value!r}")
    if checkpoint_steps > _MOST_STEPS:
        raise UsageError(f"checkpoint_steps must be at most {_MOST_STEPS}; found {checkpoint_steps}")
    if workers > MOST_WORKERS:
        raise UsageError(f"workers must be at most {MOST_WORKERS}, each of which is a process; found {workers}")


def fit_in_locked(
    model: nn.Module,
    source: DataSource,
    settings: Settings,
    *,
    output: str | os.PathLike | None,
    resume: bool,
    checkpoint_steps: int,
    workers: int,
    watchers: Sequence[Watcher],
    device: str,
    grid: GridChoice,
) -> list[dict]:
    """`fit` in a folder that the caller has locked, with numbers that it has checked."""
    model = unwrapped(model)
    if not isinstance(source, DataSource):
        raise UsageError(f"source: expected a DataSource, found {type(source).__name__}; put samples into one")
    settings, ranks, task, grid = settings.resolved(), current_ranks(), task_of(source), checked_grid(grid)
    model.to(device)
    _check_fit(model, source, task, settings)
    folder = None if output is None else _prepared(Path(output), resume, ranks)
    identity = _identity(model, source, settings)
    optimizer, position = make_optimizer(model, settings), Position()
    seed_everything(settings.seed, ranks.rank)
    if folder is not None and (folder / STATE).exists():
        state = _load(folder / STATE, identity)
        position = Position(state.epoch, state.step, list(state.totals), list(state.history))
        try:
            model.load_state_dict(state.model)
            optimizer.load_state_dict(state.optimizer)
            if len(state.random) == ranks.count:
                set_random_state(state.random[ranks.rank])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = next(iter(str(error).splitlines()), "")
            raise CheckpointError(
                f"{folder / STATE}: expected the state of this training, which it isn't: {reason}; delete it to begin "
                "anew"
            ) from error

    def save() -> None:
        if folder is None:
            return
        # What the others have summed up so far goes to the first; they begin at 0 when resumed.
        totals = ranks.sum(torch.tensor(position.totals, dtype=torch.float64)).tolist()
        random = ranks.gather(random_state())
        if ranks.first:
            place = position.epoch, position.step
            contents = identity, model.state_dict(), optimizer.state_dict(), random, *place, totals, position.history
            save_state(TrainingState(*contents), folder / STATE)
            write_text(folder / HISTORY, json.dumps(position.history, indent=1))

    def put_on_grid() -> None:
        if not any(isinstance(module, Quantizer) for module in model.modules()):
            return
        report = snap_(model, grid, _counted_on(model, source, settings))
        for watcher in watchers:
            watcher.levels(report)

    if not ranks.first:
        position.totals, watchers = [0.0, 0.0, 0.0], ()
    with deterministic(next(model.parameters()).device):
        loop = Loop(
            model, source, task, settings, optimizer, position,
            ranks=ranks, workers=workers, watchers=watchers, checkpoint_steps=checkpoint_steps, save=save,
            finish=put_on_grid,
        )  # fmt: skip
        try:
            for watcher in watchers:
                watcher.begin(position.epoch * loop.steps + position.step)
            if position.epoch >= settings.epochs:  # resumed, when all was done
                put_on_grid()
            loop.run()
        finally:
            for watcher in watchers:
                watcher.end()
    model.eval()
    if folder is not None and ranks.first:
        save_model(model, folder / MODEL, input_shape=source.input_shape)
    return position.history


def _counted_on(model: nn.Module, source: DataSource, settings: Settings) -> Iterator[Tensor]:
    """The inputs on which it is counted how often each activation level occurs: the same in every process."""
    keys = first_keys(source.training, settings.seed, _COUNTED)
    for start in range(0, len(keys), settings.batch_size):
        yield moved_to(model, *source.training.batch(keys[start : start + settings.batch_size]))[0]


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PaconvError(f"cannot write to {folder}: {error.strerror or error}") from error
    return folder


def _prepared(folder: Path, resume: bool, ranks: Ranks) -> Path:
    _made(folder)
    if (folder / STATE).exists() and not resume:
        raise UsageError(f"{folder} holds a training; go on with it (--resume, resume=True), or name another")
    if ranks.first:
        for name in (STATE, HISTORY, MODEL):
            for left in folder.glob(f".{name}.*.tmp"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
    return folder


@torch.no_grad()
def _check_fit(model: nn.Module, source: DataSource, task: Task, settings: Settings) -> None:
    """Run one sample."""
    sample = source.training if source.held_out is None or not len(source.held_out) else source.held_out
    inputs, _ = moved_to(model, *sample.batch(first_keys(sample, settings.seed, 1)))
    model.eval()
    try:
        outputs = model(inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")
        shape = tuple(inputs.shape[1:])
        raise UsageError(f"the model doesn't take images {shape} of {source.name}: {reason}") from error
    task.check(model, outputs, source)


def _identity(model: nn.Module, source: DataSource, settings: Settings) -> dict:
    made = getattr(model, "paconv_architecture", None) or {"name": type(model).__name__, "config": {}}
    return {
        "architecture": made["name"],
        "config": made["config"],
        "conversion": getattr(model, "paconv_conversion", None),
        "settings": settings.as_dict(),
        "data": source.description(),
    }


def _load(path: Path, identity: dict) -> TrainingState:
    state = load_state(path)
    if (difference := _difference(state.identity, identity)) is not None:
        what, then, now = difference
        raise CheckpointError(
            f"{path}: it is of another training: {what} was {then!r}, now it is {now!r}; go on with the same, or name "
            "another folder"
        )
    return state


def _difference(then: object, now: object, what: str = "") -> tuple[str, object, object] | None:
    """The first value that differs: its name and both values."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            name = f"{what}.{key}" if what else str(key)
            if (found := _difference(then.get(key), now.get(key), name)) is not None:
                return found
        return None
    return None if then == now else (what, then, now)

"""How a training goes, for whoever waits: first, how fast its result will be.

Then a bar on stderr, if that is a terminal, and a line on stdout per epoch.
"""

from __future__ import annotations

import click
import torch
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import nn

from paconv.cli.console import progress_console
from paconv.conversion import conversion_report
from paconv.errors import PaconvError
from paconv.nn.snapping import LevelReport
from paconv.train.watching import Progress as TrainingProgress
from paconv.train.watching import Watcher

__all__ = ["PredictedSpeed", "TrainingBar", "predicted_speed"]


class TrainingBar(Watcher):
    """what: name of what is trained; quiet: the bar alone, no lines."""

    def __init__(self, what: str, quiet: bool = False):
        self.what, self.quiet = what, quiet
        console = progress_console()
        text = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"), TimeRemainingColumn()
        self._bar = Progress(*text, console=console, transient=True) if console.is_terminal else None
        self._task: TaskID | None = None

    def begin(self, step: int) -> None:
        if step and not self.quiet:
            click.echo(f"{self.what}: goes on after step {step}")
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=None, shown="")

    def step(self, progress: TrainingProgress) -> None:
        if self._bar is None or self._task is None:
            return
        accuracy = "" if progress.accuracy is None else f" accuracy {progress.accuracy:.1%}"
        self._bar.update(
            self._task,
            completed=progress.total_step,
            total=progress.epochs * progress.steps,
            shown=f"epoch {progress.epoch}/{progress.epochs} loss {progress.loss:.3f}{accuracy} {progress.rate:.0f}/s",
        )

    def epoch(self, progress: TrainingProgress, measures: dict[str, float]) -> None:
        shown = ", ".join(f"{name.replace('_', ' ')} {_text(name, value)}" for name, value in measures.items())
        shown = shown.replace("epoch ", f"{self.what}: epoch ", 1).replace(",", f"/{progress.epochs},", 1)
        if not self.quiet:
            click.echo(f"{shown}, {progress.rate:.0f} samples/s")

    def levels(self, report: LevelReport) -> None:
        if not self.quiet:
            click.echo(f"{self.what}: {report}")

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class PredictedSpeed(Watcher):
    """Says how fast the converted `model` will be on images of `input_shape` (C, H, W).

    Where a training begins; not where it is resumed.
    """

    def __init__(self, model: nn.Module, input_shape: tuple[int, ...]):
        self.model, self.input_shape = model, input_shape

    def begin(self, step: int) -> None:
        if not step:
            with torch.random.fork_rng(devices=[]):
                click.echo(predicted_speed(self.model, self.input_shape))


def predicted_speed(model: nn.Module, input_shape: tuple[int, ...]) -> str:
    """A line or two on the speed of a converted model.

    Or a line on why there is no more to say, which is no reason not to train it.
    """
    try:
        return str(conversion_report(model).predict(input_shape))
    except PaconvError as error:
        return f"speed not predicted: {' '.join(str(error).split())}"


def _text(name: str, value: float) -> str:
    if name == "epoch":
        return str(value)
    return f"{value:.4f}" if name.endswith("loss") else f"{value:.2%}"

"""One training from some step to the end: Algorithm 1, step by step, with its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from paconv.errors import PaconvError, TrainingError
from paconv.nn.layers import project_
from paconv.train.batches import steps_an_epoch, training_batches
from paconv.train.data.samples import Batch, DataSource
from paconv.train.distributed import Ranks, parallel
from paconv.train.evaluation import evaluate, moved_to
from paconv.train.nan_watch import NanWatch, first_non_finite
from paconv.train.optimizers import set_learning_rate
from paconv.train.schedules import learning_rate
from paconv.train.settings import Settings
from paconv.train.tasks import Task
from paconv.train.watching import Progress, Watcher

__all__ = ["Loop", "Position"]


@dataclass
class Position:
    """How far a training is."""

    epoch: int = 0
    """Of the next step."""
    step: int = 0
    """The next step, counted within the epoch."""
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Sums over the epoch's steps so far: samples, loss times samples, samples classified correctly."""
    history: list[dict] = field(default_factory=list)
    """The measures of the epochs done."""


class Loop:
    """A training's steps and epochs.

    model is trained in place; settings are resolved. save is called every `checkpoint_steps` steps and after an epoch,
    finish after the last step, before the last measures.
    """

    def __init__(
        self,
        model: nn.Module,
        source: DataSource,
        task: Task,
        settings: Settings,
        optimizer: torch.optim.Optimizer,
        position: Position,
        *,
        ranks: Ranks,
        workers: int,
        watchers: Sequence[Watcher],
        checkpoint_steps: int,
        save: Callable[[], None],
        finish: Callable[[], None],
    ):
        self.model, self.source, self.task, self.settings = model, source, task, settings
        self.optimizer, self.position, self.ranks, self.workers = optimizer, position, ranks, workers
        self.watchers, self.checkpoint_steps, self.save, self.finish = watchers, checkpoint_steps, save, finish
        self.steps = steps_an_epoch(source.training, settings.batch_size, ranks)
        self.counts_right = True
        self.rate = 0.0

    def run(self) -> None:
        """Train to the end.

        Raises DataError for a sample that can't be read, after saving what was reached, and TrainingError, naming the
        layer, when something isn't finite any more.
        """
        with parallel(self.model, self.ranks) as forward, NanWatch(self.model) as watch:
            while self.position.epoch < self.settings.epochs:
                self._epoch(forward, watch)

    def _epoch(self, forward: nn.Module, watch: NanWatch) -> None:
        position, settings = self.position, self.settings
        batches = training_batches(
            self.source.training,
            settings.batch_size,
            seed=settings.seed,
            epoch=position.epoch,
            first_step=position.step,
            ranks=self.ranks,
            workers=self.workers,
        )
        self.model.train()
        started, first = time.perf_counter(), position.step
        while position.step < self.steps:
            batch = self._next(batches)
            self._step(forward, watch, batch)
            self.rate = (position.step - first) * settings.batch_size / (time.perf_counter() - started)
            for watcher in self.watchers:
                watcher.step(self._progress())
            if position.step % self.checkpoint_steps == 0 and position.step < self.steps:
                self.save()
        progress = self._progress()
        if position.epoch + 1 == settings.epochs:
            self.finish()
        measures = self._measures()
        position.history.append(measures)
        position.epoch, position.step, position.totals = position.epoch + 1, 0, [0.0, 0.0, 0.0]
        self.ranks.check_equal(self.model)
        self.save()
        for watcher in self.watchers:
            watcher.epoch(progress, measures)

    def _next(self, batches) -> Batch:
        try:
            return next(batches)
        except PaconvError:
            begun = self.position.epoch or self.position.step
            if begun and self.ranks.count == 1:  # the others aren't here to save with
                self.save()
            raise

    def _step(self, forward: nn.Module, watch: NanWatch, batch: Batch) -> None:
        position, settings = self.position, self.settings
        inputs, targets = moved_to(self.model, *batch)
        outputs = forward(inputs)
        loss = self.task.loss(outputs, targets, self.ranks)
        self.optimizer.zero_grad()
        loss.backward()
        not_finite = self.ranks.sum(torch.tensor(float(not watch.finite(loss))))
        if not_finite:
            raise TrainingError(self._diagnosis(lambda: self.task.loss(self.model(inputs), targets, self.ranks)))
        done = position.epoch * self.steps + position.step
        set_learning_rate(self.optimizer, learning_rate(settings, done, self.steps))
        self.optimizer.step()
        project_(self.model)
        samples = len(inputs)
        right = self.task.right(outputs, targets)
        self.counts_right = right is not None
        found = (samples, loss.item() * samples, right or 0)
        position.totals = [a + b for a, b in zip(position.totals, found, strict=True)]
        position.step += 1

    def _diagnosis(self, loss: Callable[[], Tensor]) -> str:
        found = self.ranks.gather(first_non_finite(self.model, loss))
        where = next(filter(None, found), "run once more it was finite")
        return (
            f"epoch {self.position.epoch + 1}, step {self.position.step + 1}: {where}; the last checkpoint is kept; "
            "a smaller learning rate or a warm-up may help"
        )

    def _progress(self) -> Progress:
        samples, loss, right = self.position.totals
        done = self.position.epoch * self.steps + self.position.step
        return Progress(
            self.position.epoch + 1,
            self.settings.epochs,
            self.position.step,
            self.steps,
            loss / samples,
            right / samples if self.counts_right else None,
            self.rate,
            learning_rate(self.settings, done - 1, self.steps),
        )

    def _measures(self) -> dict[str, float]:
        """Of the epoch just done, over all processes."""
        samples, loss, right = self.ranks.sum(torch.tensor(self.position.totals, dtype=torch.float64)).tolist()
        found = {"epoch": self.position.epoch + 1, "loss": loss / samples}
        if self.counts_right:
            found["accuracy"] = right / samples
        held_out = evaluate(self.model, self.source, self.task, self.settings.batch_size, self.ranks, self.workers)
        return {**found, **{f"held_out_{name}": value for name, value in held_out.items()}}

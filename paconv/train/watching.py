"""Who is notified of how a training goes: progress bars, logs."""

from __future__ import annotations

from dataclasses import dataclass

from paconv.nn.snapping import LevelReport

__all__ = ["Progress", "Watcher"]


@dataclass(frozen=True)
class Progress:
    """A training after a step."""

    epoch: int
    """From 1."""
    epochs: int
    """Of the whole training."""
    step: int
    """From 1, within the epoch."""
    steps: int
    """Per epoch."""
    loss: float
    """Over the epoch so far."""
    accuracy: float | None
    """Share classified correctly over the epoch so far; None if unknown."""
    rate: float
    """Samples per second in this run."""
    lr: float
    """Learning rate of the step."""

    @property
    def total_step(self) -> int:
        """Steps done since the training began."""
        return (self.epoch - 1) * self.steps + self.step


class Watcher:
    """Notified by the first process only. Does nothing; subclasses do."""

    def begin(self, step: int) -> None:
        """Training begins, or goes on, after `step` steps."""

    def step(self, progress: Progress) -> None:
        """A step was done."""

    def epoch(self, progress: Progress, measures: dict[str, float]) -> None:
        """An epoch was done; measures: what stands in the history."""

    def levels(self, report: LevelReport) -> None:
        """The last step is done, and the levels are as they will be deployed."""

    def end(self) -> None:
        """Training is over, or failed."""

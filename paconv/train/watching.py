"""Who is told how a training goes: progress bars, logs."""

from __future__ import annotations

from dataclasses import dataclass

from paconv.nn.snapping import LevelReport

__all__ = ["Progress", "Watcher"]


@dataclass(frozen=True)
class Progress:
    """After a step: epoch from 1 of `epochs`, step from 1 of `steps` in it; loss, and the share done right (None where
    that isn't known), over the epoch so far; samples a second in this run; learning rate of the step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float | None
    rate: float
    lr: float

    @property
    def total_step(self) -> int:
        """Steps done since the training began."""
        return (self.epoch - 1) * self.steps + self.step


class Watcher:
    """Told by the first process only. Does nothing; subclasses do."""

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

"""Logs for TensorBoard: loss, accuracy, learning rate and rate while training, all measures after each epoch."""

from __future__ import annotations

from pathlib import Path

from paconv.train.watching import Progress, Watcher

__all__ = ["TensorBoardLog"]

_EVERY = 20
"""Steps between two points."""


class TensorBoardLog(Watcher):
    """Writes event files into `folder`. Needs tensorboard: raises ModuleNotFoundError without it."""

    def __init__(self, folder: Path):
        import tensorboard  # noqa: F401  (torch's own import hides which package is missing)
        from torch.utils.tensorboard.writer import SummaryWriter

        self.folder = folder
        self._make = SummaryWriter
        self._writer: SummaryWriter | None = None

    def begin(self, step: int) -> None:
        # Points of a run that was killed after its last checkpoint are drawn again, and must not stand twice.
        self._writer = self._make(str(self.folder), purge_step=step + 1 if step else None)

    def step(self, progress: Progress) -> None:
        if self._writer is None or progress.total_step % _EVERY:
            return
        values = {"loss": progress.loss, "learning_rate": progress.lr, "samples_per_second": progress.rate}
        if progress.accuracy is not None:
            values["accuracy"] = progress.accuracy
        for name, value in values.items():
            self._writer.add_scalar(f"training/{name}", value, progress.total_step)

    def epoch(self, progress: Progress, measures: dict[str, float]) -> None:
        if self._writer is None:
            return
        for name, value in measures.items():
            self._writer.add_scalar(f"epoch/{name}", value, progress.total_step)
        self._writer.flush()

    def end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

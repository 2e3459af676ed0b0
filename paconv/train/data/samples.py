"""What a data source is: samples to train on, samples held out, and what is to be learnt from them.

A sample is asked for by its key (epoch, index). What augmentation draws at random comes from the seed, the epoch and
the index alone, so that a sample is the same in whatever batch, process or worker it is made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from paconv.errors import DataError

__all__ = ["CLASSIFICATION", "DETECTION", "Batch", "DataSource", "Key", "Samples"]

Key = tuple[int, int]
"""Epoch and index."""

Batch = tuple[Tensor, object]
"""Inputs (B, ...) and what their task takes as targets: labels (B,) int64, or a list of B objects."""

CLASSIFICATION, DETECTION = "classification", "detection"


class Samples(ABC):
    """Samples in a fixed order."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples there are."""

    @abstractmethod
    def batch(self, keys: Sequence[Key]) -> Batch:
        """The samples with these keys, as one batch. Raises DataError for one that can't be read."""

    def plain(self) -> Samples:
        """The same samples as inference sees them, without augmentation; themselves where there is none."""
        return self


@dataclass(frozen=True)
class DataSource:
    """What a network is trained on.

    Raises:
        DataError: There is nothing to train on.
    """

    name: str
    """As the command line takes it."""
    task: str
    """CLASSIFICATION or DETECTION."""
    training: Samples
    """What is trained on."""
    held_out: Samples | None
    """What is never trained on; None if there is nothing."""
    classes: tuple[str, ...]
    """Names by label."""
    input_shape: tuple[int, int, int]
    """(C, H, W)."""

    def __post_init__(self) -> None:
        if not len(self.training):
            raise DataError(f"{self.name}: expected samples to train on, found none")

    def description(self) -> dict:
        """What a resumed training has to find again, as JSON values."""
        return {
            "task": self.task,
            "training": len(self.training),
            "held_out": 0 if self.held_out is None else len(self.held_out),
            "classes": list(self.classes),
            "input_shape": list(self.input_shape),
        }

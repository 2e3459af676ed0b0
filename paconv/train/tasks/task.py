"""What a network is trained for: the loss, and the measure of how well it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from paconv.train.data.samples import DataSource
from paconv.train.distributed import Ranks

__all__ = ["Meter", "Task"]


class Meter(ABC):
    """Collects, batch by batch, how well the held-out samples are done."""

    @abstractmethod
    def add(self, outputs: Any, targets: Any) -> None:
        """One more batch: the model's outputs in eval mode, and the targets of the data source."""

    @abstractmethod
    def result(self, ranks: Ranks) -> dict[str, float]:
        """Measures by name over the batches of all processes, the same in each."""


class Task(ABC):
    """outputs: what the model returns for a batch; targets: as the data source gives them."""

    @abstractmethod
    def check(self, model: nn.Module, outputs: Any, source: DataSource) -> None:
        """Raise UsageError unless these outputs of `model`, for any batch, fit the data."""

    @abstractmethod
    def loss(self, outputs: Any, targets: Any, ranks: Ranks) -> Tensor:
        """A scalar whose mean over the processes is the loss of the joint batch."""

    def right(self, outputs: Any, targets: Any) -> int | None:
        """How many of the batch are done right, to be shown while training; None where that isn't known at once."""
        return None

    @abstractmethod
    def meter(self) -> Meter:
        """A new meter."""

"""One class for each image: cross entropy, accuracy, and top-5 accuracy where there are more than five classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.errors import UsageError
from paconv.train.data.samples import DataSource
from paconv.train.distributed import Ranks
from paconv.train.tasks.task import Meter, Task

__all__ = ["Classification"]

_TOP = 5


class Classification(Task):
    """outputs: logits (B, classes). targets: labels (B,) int64."""

    def check(self, model: nn.Module, outputs: Tensor, source: DataSource) -> None:
        """Raise UsageError unless there is a logit for each class."""
        if not isinstance(outputs, Tensor) or outputs.dim() != 2:
            found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise UsageError(f"expected a model that gives logits (B, classes); it gives {found}")
        if outputs.shape[1] != len(source.classes):
            raise UsageError(
                f"the model tells {outputs.shape[1]} classes apart, but {source.name} has {len(source.classes)}"
            )

    def loss(self, outputs: Tensor, targets: Tensor, ranks: Ranks) -> Tensor:
        """Mean cross entropy. Raises UsageError for a label that has no logit."""
        if not 0 <= int(targets.min()) <= int(targets.max()) < outputs.shape[1]:
            raise UsageError(
                f"expected labels from 0 to {outputs.shape[1] - 1}; found {int(targets.min())} to {int(targets.max())}"
            )
        return F.cross_entropy(outputs, targets)

    def right(self, outputs: Tensor, targets: Tensor) -> int:
        """How many of the batch are classified right."""
        return int((outputs.argmax(1) == targets).sum())

    def meter(self) -> Meter:
        """Loss, accuracy and top-5 accuracy."""
        return _Accuracy()


class _Accuracy(Meter):
    def __init__(self) -> None:
        self.sums = torch.zeros(4, dtype=torch.float64)  # samples, loss, right, among the five best
        self.classes = 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        self.classes = outputs.shape[1]
        best = outputs.topk(min(_TOP, self.classes), 1).indices == targets[:, None]
        loss = F.cross_entropy(outputs.double(), targets, reduction="sum").item()
        self.sums += torch.tensor([len(targets), loss, best[:, 0].sum(), best.sum()], dtype=torch.float64)

    def result(self, ranks: Ranks) -> dict[str, float]:
        samples, loss, right, among = ranks.sum(self.sums).tolist()
        found = {"loss": loss / samples, "accuracy": right / samples}
        return {**found, "top5": among / samples} if self.classes > _TOP else found

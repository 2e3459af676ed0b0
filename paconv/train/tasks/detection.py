"""Objects in an image: SSD's multibox loss, and mean average precision by VOC's rule.

Over several processes the loss is that of the joint batch: process k, with n_k matched priors of n in all, returns
L_k n_k K / n, whose mean over the K processes is (1/n) sum_k n_k L_k.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from paconv.errors import UsageError
from paconv.models.ssd import (
    Detections,
    MultiboxLoss,
    Objects,
    detect,
    match,
    mean_average_precision,
    prior_boxes,
)
from paconv.models.ssd.matching import BACKGROUND
from paconv.train.data.samples import DataSource
from paconv.train.data.voc import ImageObjects
from paconv.train.distributed import Ranks
from paconv.train.tasks.task import Meter, Task

__all__ = ["Detection"]


class Detection(Task):
    """outputs: SSD's locations (B, P, 4) and confidences (B, P, classes + 1). targets: an ImageObjects each."""

    def __init__(self) -> None:
        self.multibox = MultiboxLoss(prior_boxes())

    def check(self, model: nn.Module, outputs: Any, source: DataSource) -> None:
        """Raise UsageError unless there is a location and a confidence for each prior, and one of each class."""
        priors, classes = len(self.multibox.priors), len(source.classes) + 1
        if not isinstance(outputs, tuple) or len(outputs) != 2:
            raise UsageError(f"{source.name} is for a detector, such as ssd300; the model gives no boxes")
        found = tuple(tuple(tensor.shape[1:]) for tensor in outputs)
        if found != ((priors, 4), (priors, classes)):
            raise UsageError(
                f"expected {priors} boxes and {classes - 1} classes with a background, as {source.name} has them; the "
                f"model gives locations {found[0]} and confidences {found[1]}"
            )

    def loss(self, outputs: tuple[Tensor, Tensor], targets: list[ImageObjects], ranks: Ranks) -> Tensor:
        """The multibox loss."""
        self.multibox.to(outputs[0].device)
        boxes, labels = (
            [getattr(each, name).to(outputs[0].device) for each in targets] for name in ("boxes", "labels")
        )
        loss = self.multibox(*outputs, boxes, labels)
        if ranks.count == 1:
            return loss
        priors, threshold = self.multibox.priors, self.multibox.threshold
        matches = [match(b, l, priors, threshold)[0] for b, l in zip(boxes, labels, strict=True)]
        mine = torch.stack(matches).ne(BACKGROUND).sum().double()
        return loss * (mine * ranks.count / ranks.sum(mine).clamp(min=1)).to(loss.dtype)

    def meter(self) -> Meter:
        """mAP at an overlap of 0.5."""
        return _AveragePrecision(self.multibox.priors)


class _AveragePrecision(Meter):
    def __init__(self, priors: Tensor):
        self.priors = priors
        self.found: list[tuple[Detections, Objects]] = []

    def add(self, outputs: tuple[Tensor, Tensor], targets: list[ImageObjects]) -> None:
        locations, confidences = (tensor.cpu().to(self.priors.dtype) for tensor in outputs)
        detections = detect(locations, confidences, self.priors.cpu())
        objects = (Objects(each.boxes, each.labels, each.difficult) for each in targets)
        self.found += zip(detections, objects, strict=True)

    def result(self, ranks: Ranks) -> dict[str, float]:
        everyone = [pair for found in ranks.gather(self.found) for pair in found]
        return {"mAP": mean_average_precision(*map(list, zip(*everyone, strict=True))).mean}

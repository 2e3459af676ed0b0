"""How well a model does the held-out samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paconv.train.batches import evaluation_batches
from paconv.train.data.samples import DataSource
from paconv.train.distributed import Ranks
from paconv.train.tasks import Task

__all__ = ["evaluate", "moved_to"]


@torch.no_grad()
def evaluate(
    model: nn.Module, source: DataSource, task: Task, batch_size: int, ranks: Ranks, workers: int
) -> dict[str, float]:
    """The task's measures on the held-out samples; nothing if there are none. The model's mode stays what it was."""
    if source.held_out is None or not len(source.held_out):
        return {}
    meter, training = task.meter(), model.training
    model.eval()
    for batch in evaluation_batches(source.held_out, batch_size, ranks, workers):
        inputs, targets = moved_to(model, *batch)
        meter.add(model(inputs), targets)
    model.train(training)
    return meter.result(ranks)


def moved_to(model: nn.Module, inputs: Tensor, targets: object) -> tuple[Tensor, object]:
    """The batch on the model's device, inputs of its dtype."""
    like = next(model.parameters())
    return inputs.to(like.device, like.dtype), targets.to(like.device) if isinstance(targets, Tensor) else targets

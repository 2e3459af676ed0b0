"""The optimizer of a model: SGD with momentum or Adam, without weight decay on what belongs to the quantizers."""

from __future__ import annotations

import torch
from torch import nn

from paconv.nn.layers import parameter_groups
from paconv.train.settings import Settings

__all__ = ["make_optimizer", "set_learning_rate"]


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """For all trainable parameters of `model`. settings: resolved. Adam's weight decay is decoupled (AdamW)."""
    assert settings.lr is not None and settings.weight_decay is not None
    groups = parameter_groups(model, settings.lr, settings.weight_decay)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum)
    return torch.optim.AdamW(groups)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The rate of the next step, in all groups."""
    for group in optimizer.param_groups:
        group["lr"] = lr

"""Forwards of a model over batches that aren't for training: their inputs, the mode, hooks for as long as they last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from paconv.errors import UsageError

__all__ = ["Batch", "in_mode", "inputs_of", "removing"]

Batch = Tensor | tuple[Tensor, ...]
"""The input of a model, or its several inputs."""


def inputs_of(batch: Batch) -> tuple[Tensor, ...]:
    """The inputs of a model, in the order of forward's arguments. Raises UsageError if `batch` is none."""
    inputs = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    for x in inputs:
        if not isinstance(x, Tensor):
            raise UsageError(f"batches: expected tensors or tuples of tensors, inputs alone; found {type(x).__name__}")
    if not inputs:
        raise UsageError("batches: expected tensors or tuples of tensors; found a tuple with nothing in it")
    return inputs


@contextmanager
def removing(handle: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    """Within it, the hook of `handle` is there."""
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put every module in one mode; afterwards, each into the mode it was in."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was

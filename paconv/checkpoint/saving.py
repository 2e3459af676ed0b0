"""`paconv.save`: a model into a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from paconv.checkpoint.container import Contents
from paconv.checkpoint.rebuilding import skeleton
from paconv.errors import CheckpointError
from paconv.files import replacing
from paconv.input_shape import Shape, checked_shapes
from paconv.nn.layers import codebook_tensors
from paconv.nn.quantizer import grid_tensors

__all__ = ["save"]


def save(model: nn.Module, path: str | os.PathLike, input_shape: Shape | Sequence[Shape] | None = None) -> None:
    """Write `model` to the checkpoint `path`, replacing any file there only once it is complete.

    A model of paconv.models is saved with its architecture, so that `load(path)` rebuilds it, unless it was changed
    since. A model from `paconv.convert` is saved with its conversion, and any other with its weights alone: `load` then
    needs the function that makes the float model.

    Args:
        model: A torch module; its state is copied to the CPU.
        path: The file to write.
        input_shape: (C, H, W) without the batch, or one such shape per input; None is the shape that the model was
            loaded with, if any.

    Raises:
        UsageError: The shape is invalid.
        CheckpointError: The model's state holds something other than tensors, or tensors without values.
        PaconvError: `path` can't be written.
    """
    if input_shape is None:
        input_shape = getattr(model, "paconv_input_shape", None)
    state = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"can't save {name}: expected a tensor, found {type(value).__name__}")
        if value.is_meta:
            raise CheckpointError(
                f"can't save {name}: it is on the meta device, without values; load the weights first"
            )
        # Contiguous and cloned: a view would take its whole storage into the file.
        state[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    architecture = getattr(model, "paconv_architecture", None) or {"name": None, "config": {}}
    contents = Contents(
        architecture["name"],
        architecture["config"],
        getattr(model, "paconv_conversion", None),
        None if input_shape is None else checked_shapes(input_shape),
        state,
    )
    if contents.architecture is not None and not _is_as_built(contents):
        contents = Contents(None, {}, contents.conversion, contents.input_shapes, state)
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(contents.as_dict(), file)


def _is_as_built(contents: Contents) -> bool:
    """Whether the model still has the tensors that its architecture has; a user may have replaced a layer."""
    try:
        model = skeleton(contents)
    except CheckpointError:
        return False
    optional = {**grid_tensors(model), **codebook_tensors(model)}
    built, saved = (
        {name: tensor.shape for name, tensor in state.items() if name not in optional}
        for state in (model.state_dict(), contents.state_dict)
    )
    return built == saved

"""`paconv.save`: a model into a checkpoint."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from paconv.checkpoint.container import Contents, write_archive
from paconv.checkpoint.rebuilding import skeleton
from paconv.errors import CheckpointError
from paconv.input_shape import Shape, checked_shapes
from paconv.nn.layers import PAConv2d, codebook_tensors
from paconv.nn.quantizer import grid_tensors
from paconv.nn.wrapping import unwrapped

__all__ = ["save"]


def save(model: nn.Module, path: str | os.PathLike, input_shape: Shape | Sequence[Shape] | None = None) -> None:
    """Write `model` to the checkpoint `path`, replacing any file there only once it is complete.

    A model of paconv.models is saved with its architecture, so that `load(path)` rebuilds it, unless it was changed
    since. A model from `paconv.convert` is saved with its conversion, and any other with its weights alone: `load` then
    needs the function that makes the float model. Of a model in one of torch's wrappers (DataParallel,
    DistributedDataParallel, AveragedModel, torch.compile) the model within is saved. A UserWarning says so where a part
    of the model was converted by itself, so that the function has to convert it too.

    Args:
        model: A torch module; its state is copied to the CPU.
        path: The file to write.
        input_shape: (C, H, W) without the batch, or one such shape per input; None is the shape that the model was
            loaded with, if any.

    Raises:
        UsageError: The shape is invalid, or `model` is TorchScript or sharded (FullyShardedDataParallel).
        CheckpointError: The model's state holds something other than tensors, or tensors without values.
        PaconvError: `path` can't be written.
    """
    outermost, model = model, unwrapped(model)
    if input_shape is None:
        input_shape = getattr(outermost, "paconv_input_shape", None)
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
    _warn_of_parts(model)
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
    write_archive(contents.as_dict(), path)


def _warn_of_parts(model: nn.Module) -> None:
    """Warn of a conversion that isn't the whole model's and gets lost."""
    if getattr(model, "paconv_conversion", None) is not None:
        return
    converted = [name for name, m in model.named_modules() if getattr(m, "paconv_conversion", None) is not None]
    layers = [name for name, m in model.named_modules() if isinstance(m, PAConv2d)]
    if not layers:
        return
    part = f"{converted[0]} was" if converted else f"{layers[0]} and the like were"
    warnings.warn(
        f"paconv.save: {part} converted, but {type(model).__name__} as a whole wasn't: its weights are saved without "
        "the conversion, and paconv.load needs a function that makes the model converted in the same way"
        + (f"; or save {converted[0]} by itself" if converted else ""),
        stacklevel=3,
    )


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

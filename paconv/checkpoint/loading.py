"""`paconv.load`: the model of a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable

from torch import nn

from paconv.checkpoint.container import read_contents, read_pickled
from paconv.checkpoint.rebuilding import from_user_model, from_zoo
from paconv.errors import CheckpointError

__all__ = ["load"]


def load(
    path: str | os.PathLike,
    model: nn.Module | Callable[[], nn.Module] | None = None,
    *,
    trust_pickle: bool = False,
    state_dict: str | None = None,
) -> nn.Module:
    """The model of checkpoint `path`, in eval mode, on the CPU.

    Args:
        path: A file from `save`, or (with `model`) a state dict, bare or in a training checkpoint; what a wrapper of
            the model has put before its names is left out.
        model: The float model that was converted, or a function that returns it; None for a checkpoint of a zoo
            architecture. A module given is copied, not changed.
        trust_pickle: Read pickled objects, a whole nn.Module among them; this runs code stored in the file.
        state_dict: Where the state dict of a training checkpoint lies: keys with dots between, the last of which may be
            what names of tensors begin with. None finds it, where there is only one.

    Returns:
        The model; `paconv_input_shape` is set on it if the file has a shape: (C, H, W), or one such shape per input.

    Raises:
        CheckpointError: The file is no checkpoint, or doesn't fit the model.
    """
    contents = read_pickled(path, state_dict) if trust_pickle else read_contents(path, state_dict)
    if isinstance(contents, nn.Module):
        return contents.eval()
    try:
        if model is not None:
            made = from_user_model(contents, model)
        elif contents.architecture is not None:
            made = from_zoo(contents)
        else:
            raise CheckpointError(
                "it holds weights but not the code of the model; give the function that makes the model: "
                "--model package.module:function (model=function)"
            )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if contents.input_shapes is not None:
        shapes = contents.input_shapes
        made.paconv_input_shape = shapes[0] if len(shapes) == 1 else shapes  # type: ignore[assignment]
    return made.eval()

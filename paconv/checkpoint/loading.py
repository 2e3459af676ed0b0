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
) -> nn.Module:
    """The model of checkpoint `path`, in eval mode, on the CPU.

    Args:
        path: A file from `save`, or a bare state dict (with `model`).
        model: The float model that was converted, or a function that returns it; None for a checkpoint of a zoo
            architecture. A module given is copied, not changed.
        trust_pickle: Read a whole pickled nn.Module; this runs code stored in the file.

    Returns:
        The model; `paconv_input_shape` is set on it if the file has a shape: (C, H, W), or one such shape per input.

    Raises:
        CheckpointError: The file is no checkpoint, or doesn't fit the model.
    """
    if trust_pickle:
        found = read_pickled(path)
        if isinstance(found, nn.Module):
            return found.eval()
    contents = read_contents(path)
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

"""From a file to a network: ONNX in any form, or a checkpoint by way of an export to a temporary file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from paconv.errors import UsageError
from paconv.network.extract import network
from paconv.network.layers import Network
from paconv.onnx_file.loading import load_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CHECKPOINT_SUFFIXES", "network_of_file", "network_of_module"]

CHECKPOINT_SUFFIXES = (".pt", ".pth", ".ckpt")


def network_of_file(
    path: str | os.PathLike,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    factory: str | None = None,
    trust_pickle: bool = False,
) -> Network:
    """Layers of the model in `path`: a checkpoint by its suffix (.pt, .pth, .ckpt), otherwise ONNX.

    Args:
        path: The file.
        input_shapes: Sizes of free dimensions, see paconv.network.extract.network; for a checkpoint the key "" replaces
            the shape that it carries.
        factory: "package.module:function", as `paconv export` takes it.
        trust_pickle: As `paconv export` takes it.

    Raises:
        ModelError: The file is no usable ONNX model.
        CheckpointError: It is no usable checkpoint.
        UsageError: A dimension stays free; the message names it.
    """
    path = Path(path)
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        return _network_of_checkpoint(path, dict(input_shapes or {}), factory, trust_pickle)
    if factory is not None or trust_pickle:
        raise UsageError(
            f"--model and --trust-pickle belong to checkpoints ({', '.join(CHECKPOINT_SUFFIXES)}); found {path.name}"
        )
    return network(load_model(path), input_shapes)


def network_of_module(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> Network:
    """Layers of a torch model in eval mode, for a batch of 1.

    Args:
        model: It is exported to a temporary file.
        input_shape: (C, H, W), or one such shape per input; None is the one that the model carries.

    Raises:
        PaconvError: Whatever `paconv.export` raises.
    """
    from paconv.to_onnx.exporter import export

    with TemporaryDirectory() as folder:
        exported = export(model, Path(folder) / "model.onnx", input_shape, grid=None)  # counts don't depend on levels
        return network(load_model(exported.path))


def _network_of_checkpoint(
    path: Path, input_shapes: dict[str, Sequence[int]], factory: str | None, trust_pickle: bool
) -> Network:
    shape = input_shapes.pop("", None)
    if input_shapes:
        raise UsageError(
            f"--input-shape: expected sizes such as 3,224,224 for the checkpoint {path.name}; "
            f"found the name {next(iter(input_shapes))}"
        )
    # Torch takes seconds to load; an ONNX file needs none of it.
    from paconv.checkpoint import load
    from paconv.checkpoint.factory import users_model

    with users_model(path, factory, trust_pickle) as found:
        model = load(found) if found is path else found
        return network_of_module(model, None if shape is None else tuple(shape))

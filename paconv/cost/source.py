"""From a file to a network: ONNX in any form, or a checkpoint by way of an export to a temporary file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx

from paconv.errors import UsageError
from paconv.network.extract import network
from paconv.network.layers import Network
from paconv.onnx_file.loading import load_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CHECKPOINT_SUFFIXES", "exported_model", "model_of_file", "network_of_file", "network_of_module"]

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
    return network(*model_of_file(path, input_shapes, factory=factory, trust_pickle=trust_pickle))


def model_of_file(
    path: str | os.PathLike,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    factory: str | None = None,
    trust_pickle: bool = False,
) -> tuple[onnx.ModelProto, dict[str, Sequence[int]]]:
    """The model in `path` as ONNX, and sizes of the dimensions that are free in it; as network_of_file takes it."""
    path, sizes = Path(path), dict(input_shapes or {})
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        return _model_of_checkpoint(path, sizes, factory, trust_pickle), {}
    if factory is not None or trust_pickle:
        raise UsageError(
            f"--model and --trust-pickle belong to checkpoints ({', '.join(CHECKPOINT_SUFFIXES)}); found {path.name}"
        )
    return load_model(path), sizes


def network_of_module(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> Network:
    """Layers of a torch model in eval mode, for a batch of 1, as `exported_model` takes it."""
    return network(exported_model(model, input_shape))


def exported_model(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> onnx.ModelProto:
    """A torch model in eval mode as ONNX.

    Args:
        model: It is exported to a temporary file.
        input_shape: (C, H, W), or one such shape per input; None is the one that the model carries.

    Raises:
        PaconvError: Whatever `paconv.export` raises.
    """
    from paconv.to_onnx.exporter import export

    with TemporaryDirectory() as folder:
        exported = export(model, Path(folder) / "model.onnx", input_shape, grid=None)  # counts don't depend on levels
        return load_model(exported.path)


def _model_of_checkpoint(
    path: Path, input_shapes: dict[str, Sequence[int]], factory: str | None, trust_pickle: bool
) -> onnx.ModelProto:
    shape = input_shapes.pop("", None)
    if input_shapes:
        raise UsageError(
            f"--input-shape: expected sizes such as 3x224x224 for the checkpoint {path.name}; "
            f"found the name {next(iter(input_shapes))}"
        )
    # Torch takes seconds to load; an ONNX file needs none of it.
    from paconv.checkpoint import load
    from paconv.checkpoint.factory import users_model

    with users_model(path, factory, trust_pickle) as found:
        model = load(found) if found is path else found
        return exported_model(model, None if shape is None else tuple(shape))

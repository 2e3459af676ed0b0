"""Networks that start from a checkpoint: float ones from all of its weights, or those of a detector's backbone, and
quantized ones as they are.

A detector has a `backbone`: a module that names the architecture of the `classifier` that it is, and that one's `head`,
which it hasn't, whatever the number of classes.
"""

from __future__ import annotations

import os
from dataclasses import replace

from torch import nn

from paconv.checkpoint.container import Contents, read_contents
from paconv.checkpoint.rebuilding import from_user_model, from_zoo
from paconv.errors import CheckpointError, UsageError
from paconv.models import build
from paconv.models.resnet import VARIANTS, ResNet, warn_of_v1

__all__ = ["activation_of", "architecture_of", "quantized_from", "with_backbone_of", "with_weights_of"]


def architecture_of(path: str | os.PathLike) -> str | None:
    """Name of the architecture that a checkpoint says it is of, None where it doesn't."""
    return read_contents(path).architecture


def quantized_from(path: str | os.PathLike, name: str, arguments: dict, classes: int) -> nn.Module:
    """The quantized network in a checkpoint, as it is; `name` and `arguments`: the architecture, where the checkpoint
    holds weights alone.

    Raises CheckpointError for a float network, another architecture or other classes, and UsageError for arguments
    where the checkpoint has its own.
    """
    contents = _finite_contents(path)
    if contents.conversion is None:
        raise CheckpointError(f"{path}: expected a quantized network to go on from, found a float one; see --float")
    _check_kind(path, contents, name, classes)
    try:
        if contents.architecture is None:
            return from_user_model(contents, build(name, num_classes=classes, **arguments))
        if arguments:
            raise UsageError(f"{path} has its architecture's arguments already; found {', '.join(arguments)}")
        return from_zoo(contents)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def activation_of(path: str | os.PathLike) -> str | None:
    """Name of the activation function that the network in a checkpoint was made with, None where it doesn't say."""
    return read_contents(path).config.get("activation")


def with_weights_of(path: str | os.PathLike, model: nn.Module, name: str, classes: int) -> nn.Module:
    """`model`, of architecture `name`, with the weights of a checkpoint of the same float network.

    Raises CheckpointError for one of a quantized network, of another architecture or of other classes.
    """
    contents = _float_contents(path, name)
    _check_kind(path, contents, name, classes)
    _check_arguments(path, contents, model)
    return _loaded(path, contents, model)


def with_backbone_of(path: str | os.PathLike, model: nn.Module, name: str) -> nn.Module:
    """`model`, of architecture `name`, whose backbone has the weights of a checkpoint of its float classifier.

    Raises UsageError if `model` has no backbone, CheckpointError for a checkpoint of a quantized network or of another
    architecture.
    """
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        raise UsageError(f"{name} has no backbone that could start from {path}; ssd300 has one")
    contents = _float_contents(path, backbone.classifier)
    found = contents.config.get("variant", VARIANTS[0])
    if contents.architecture is None:
        warn_of_v1(backbone, path)
    elif isinstance(backbone, ResNet) and backbone.is_v1 != (found == VARIANTS[0]):
        raise CheckpointError(
            f"{path}: its bottlenecks are {found}, the backbone's not; give --architecture variant={found}"
        )
    body = {n: value for n, value in contents.state_dict.items() if not n.startswith(f"{backbone.head}.")}
    model.backbone = _loaded(path, replace(contents, architecture=backbone.classifier, state_dict=body), backbone)
    return model


def _float_contents(path: str | os.PathLike, name: str) -> Contents:
    """Those of a checkpoint of the float network `name`, or of a bare state dict, which has no name."""
    contents = _finite_contents(path)
    if contents.conversion is not None:
        raise CheckpointError(f"{path}: expected a float network to start from, found a quantized one")
    _check_kind(path, contents, name)
    return contents


def _finite_contents(path: str | os.PathLike) -> Contents:
    contents = read_contents(path)
    for name, tensor in contents.state_dict.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds values that aren't finite: no training can start from them")
    return contents


def _check_kind(path: str | os.PathLike, contents: Contents, name: str, classes: int | None = None) -> None:
    if contents.architecture not in (None, name):
        raise CheckpointError(f"{path}: expected a checkpoint of {name}, found one of {contents.architecture}")
    if classes is not None and (found := contents.config.get("num_classes", classes)) != classes:
        raise CheckpointError(f"{path}: it tells {found} classes apart; the data have {classes}")


_MAY_DIFFER = ("num_classes", "M", "N", "scheme", "activation", "extras")
"""Arguments of an architecture that its float weights don't depend on, or that are checked elsewhere."""


def _check_arguments(path: str | os.PathLike, contents: Contents, model: nn.Module) -> None:
    """Raise CheckpointError where the checkpoint's architecture has another argument than `model`'s."""
    own: dict = getattr(model, "paconv_architecture", {"config": {}})["config"]
    for name, value in contents.config.items():
        if name not in _MAY_DIFFER and name in own and own[name] != value:
            raise CheckpointError(
                f"{path}: expected {name}={own[name]}, found a network of {name}={value}; give --architecture "
                f"{name}={value}"
            )


def _loaded(path: str | os.PathLike, contents: Contents, model: nn.Module) -> nn.Module:
    try:
        return from_user_model(contents, model)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error

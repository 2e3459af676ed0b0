"""From what a checkpoint holds to a model: make the architecture, convert it as it was converted, load the weights.

An architecture of the zoo is made on the meta device: it has no values and takes no memory until the checkpoint's own
tensors are put in, so that an absurd size in a damaged file costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from paconv.checkpoint.container import Contents
from paconv.checkpoint.state_dicts import prefix_of, without_prefix
from paconv.errors import CheckpointError, UsageError
from paconv.grid import MOST_ACTIVATION
from paconv.models import build
from paconv.models.resnet import warn_of_v1
from paconv.nn.computed_weights import copied
from paconv.nn.convert import convert_from_config
from paconv.nn.layers import codebook_tensors
from paconv.nn.quantizer import grid_tensors
from paconv.nn.schemes.registry import up_to_date
from paconv.nn.wrapping import unwrapped

__all__ = ["from_user_model", "from_zoo", "skeleton"]


def skeleton(contents: Contents) -> nn.Module:
    """The zoo model of `contents` without values, on the meta device. Raises CheckpointError if it can't be made."""
    text = f"architecture {contents.architecture} with {contents.config}"
    try:
        with torch.device("meta"):
            model = build(str(contents.architecture), **_present_arguments(contents))
    except UsageError as error:
        raise CheckpointError(str(error)) from error
    except (ArithmeticError, AssertionError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{text} can't be built: {_line(error)}") from error
    return _converted(model, contents.conversion)


def _present_arguments(contents: Contents) -> dict:
    """The architecture's arguments, a scheme among them by its present name."""
    before = contents.conversion or {}
    now = up_to_date(before).get("scheme")
    renamed = now != before.get("scheme") and contents.config.get("scheme") == before.get("scheme")
    return {**contents.config, "scheme": now} if renamed else contents.config


def from_zoo(contents: Contents) -> nn.Module:
    """The zoo model of `contents` with its weights. Raises CheckpointError if they don't fit it."""
    model = skeleton(contents)
    _check_fit(model, contents)
    model.load_state_dict({name: tensor.clone() for name, tensor in contents.state_dict.items()}, assign=True)
    return model


def from_user_model(contents: Contents, model: nn.Module | Callable[[], nn.Module]) -> nn.Module:
    """A copy of `model`, or what it returns, converted as `contents` says and with its weights.

    Raises CheckpointError if `model` gives no module, or the weights don't fit it.
    """
    if isinstance(model, nn.Module):
        made = copied(unwrapped(model))
    elif callable(model):
        made = _called(model)
    else:
        raise CheckpointError(f"model: expected a module or a function that returns one, found {type(model).__name__}")
    made = _converted(unwrapped(made), contents.conversion)
    contents = replace(contents, state_dict=without_prefix(contents.state_dict, _needed(made)))
    _check_fit(made, contents)
    if contents.architecture is None:
        warn_of_v1(made, "the checkpoint")
    made.load_state_dict(contents.state_dict)
    return made


def _called(factory: Callable[[], nn.Module]) -> nn.Module:
    name = getattr(factory, "__qualname__", type(factory).__name__)
    try:
        made = factory()
    except Exception as error:  # the user's code
        raise CheckpointError(f"model factory {name}() failed: {type(error).__name__}: {_line(error)}") from error
    if not isinstance(made, nn.Module):
        raise CheckpointError(f"model factory {name}(): expected a torch.nn.Module, it returned {type(made).__name__}")
    return made


def _converted(model: nn.Module, conversion: dict | None) -> nn.Module:
    """`model` converted as `conversion` says, unless it is already."""
    if conversion is None:
        return model
    own = getattr(model, "paconv_conversion", None)
    if own is None:
        return convert_from_config(model, conversion)
    if own["plan"] != conversion.get("plan"):
        raise CheckpointError(
            "the model is converted otherwise than the one that was saved; give the float model it was made from"
        )
    return model


def _needed(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that a checkpoint of `model` has in any case."""
    needed = model.state_dict()
    for name in (*grid_tensors(model), *codebook_tensors(model)):
        needed.pop(name, None)
    return needed


def _check_fit(model: nn.Module, contents: Contents) -> None:
    """Compare names, shapes and kinds of the tensors. Raises CheckpointError about the first that doesn't fit."""
    have, optional, given = contents.state_dict, grid_tensors(model), codebook_tensors(model)
    want = _needed(model)
    if (prefix := prefix_of(have, want)) is not None:
        other = next(name for name in have if not name.startswith(prefix))
        raise _misfit(
            f"its names of the model's tensors begin with {prefix}, and it has others such as {other}; say which are "
            f"meant (--state-dict KEY, here ending in {prefix.removesuffix('.')})",
            contents,
        )
    for name, tensor in want.items():
        if name not in have:
            raise _misfit(f"it has no {name} {tuple(tensor.shape)}", contents)
        if have[name].shape != tensor.shape:
            raise _misfit(f"{name} is {tuple(have[name].shape)} in it, {tuple(tensor.shape)} in the model", contents)
        if have[name].is_floating_point() != tensor.is_floating_point():
            raise _misfit(f"{name} is {have[name].dtype} in it, {tensor.dtype} in the model", contents)
    for name, tensor in have.items():
        if name in optional:
            whole = tensor.dtype == torch.int64 and tensor.shape == optional[name]
            if not whole or (tensor < 0).any() or (not tensor.shape and not 1 <= tensor <= MOST_ACTIVATION):
                raise _misfit(f"{name} is no part of an integer grid", contents)
        elif name in given:
            if not tensor.is_floating_point() or tensor.shape != given[name]:
                raise _misfit(f"{name} is {tuple(tensor.shape)} in it, {given[name]} in the model", contents)
        elif name not in want:
            raise _misfit(f"the model has no {name}, which the checkpoint has", contents)


def _misfit(what: str, contents: Contents) -> CheckpointError:
    model = "the model given" if contents.architecture is None else f"architecture {contents.architecture}"
    return CheckpointError(f"the checkpoint doesn't fit {model}: {what}")


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")

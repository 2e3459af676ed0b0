"""Weights that a layer computes from other parameters before each forward, and what they are in eval mode: constants.

    torch.nn.utils.parametrize      weight_norm, spectral_norm, orthogonal of parametrizations, and whatever else
    torch.nn.utils.weight_norm      a hook that sets `weight` from weight_g and weight_v
    torch.nn.utils.spectral_norm    a hook that sets it from weight_orig and its singular vectors
    torch.nn.utils.prune            a hook that sets it to weight_orig times a mask

The three kinds of hooks leave a tensor on the layer that is no leaf of the graph of gradients, which can't be copied;
so does a model that keeps something of its last forward. `copied` copies its values.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from paconv.errors import UsageError

__all__ = ["computed_by", "copied", "fix_"]

Module = TypeVar("Module", bound=nn.Module)


def copied(model: Module) -> Module:
    """A deep copy of `model`; tensors that it has computed are copied without what they were computed from.

    Raises UsageError where something on it can't be copied.
    """
    computed = (tensor for module in model.modules() for tensor in _computed(vars(module)))
    memo: dict = {id(tensor): tensor.detach().clone() for tensor in computed}
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:  # the model's own code
        raise UsageError(f"the model can't be copied (copy.deepcopy): {type(error).__name__}: {error}") from error


def _computed(value: object) -> Iterator[Tensor]:
    """Tensors in an attribute, or in lists and dicts there, that aren't leaves."""
    if isinstance(value, Tensor):
        if not value.is_leaf:
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _computed(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _computed(each)


def computed_by(layer: nn.Module) -> str:
    """By what the layer computes parameters, in words; "" where it doesn't, or not in one of the ways above."""
    if is_parametrized(layer):
        kinds = {type(made).__name__.strip("_") for each in layer.parametrizations.values() for made in each}  # type: ignore[union-attr,operator]
        return f"parametrizations ({', '.join(sorted(kinds))})"
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            return "weight_norm"
        if isinstance(hook, SpectralNorm):
            return "spectral_norm"
        if isinstance(hook, prune.BasePruningMethod):
            return "pruning masks"
    return ""


def fix_(layer: nn.Module) -> nn.Module:
    """Make the computed parameters of the layer, not of those within it, plain ones of the values they have in eval
    mode, in place. Returns `layer`.
    """
    modes = [(module, module.training) for module in layer.modules()]
    layer.eval()
    if is_parametrized(layer):
        # torch's remove_parametrizations takes the parameters off the class, which copies of the layer share
        values = {name: getattr(layer, name) for name in layer.parametrizations}  # type: ignore[union-attr]
        del layer.parametrizations
        layer.__class__ = type(layer).__bases__[0]
        for name, value in values.items():
            layer.register_parameter(name, nn.Parameter(value.detach(), requires_grad=value.requires_grad))
    for hook in list(layer._forward_pre_hooks.values()):
        if isinstance(hook, WeightNorm):
            remove_weight_norm(layer, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(layer, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(layer, hook._tensor_name)
    for module, was in modes:
        module.training = was
    return layer

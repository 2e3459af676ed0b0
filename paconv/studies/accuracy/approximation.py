"""What one trained convolution's quantizers do: values, what becomes of them, and the gradient that passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paconv.errors import UsageError
from paconv.nn.layers import PAConv2d

__all__ = ["Approximation", "of_activations", "of_weights", "quantized_convolutions"]


@dataclass(frozen=True)
class Approximation:
    """A tensor of a layer, approximated."""

    layer: str
    """Name of the convolution."""
    planes: int
    """M of weights, N of activations."""
    value: Tensor
    """(n,), ascending."""
    approximated: Tensor
    """(n,)."""
    slope: Tensor
    """(n,): the derivative of `approximated` by `value`, as training has it."""


def quantized_convolutions(model: nn.Module) -> list[str]:
    """Names of the PAConv2d in `model`, in order. Raises UsageError where there is none."""
    found = [name for name, module in model.named_modules() if isinstance(module, PAConv2d)]
    if not found:
        raise UsageError("the model has no quantized convolution")
    return found


def of_weights(model: nn.Module, layer: str) -> Approximation:
    """The weights of convolution `layer`."""
    conv = _conv(model, layer)
    return _through(layer, _planes(model, "M"), conv.weight_quantizer, conv.weight.detach())


def of_activations(model: nn.Module, layer: str, images: Tensor) -> Approximation:
    """What convolution `layer` reads of `images` (B, C, H, W). Raises UsageError where that isn't quantized."""
    conv, seen = _conv(model, layer), []
    if conv.activation is None:
        raise UsageError(f"{layer} reads full-precision activations")
    handle = conv.activation.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    try:
        with torch.no_grad():
            model(images)
    finally:
        handle.remove()
    return _through(layer, _planes(model, "N"), conv.activation, seen[-1])


def _planes(model: nn.Module, which: str) -> int:
    conversion: Any = model.paconv_conversion
    return conversion[which]


def _through(layer: str, planes: int, quantizer: Callable[[Tensor], Tensor], x: Tensor) -> Approximation:
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        made = quantizer(x)
        (slope,) = torch.autograd.grad(made.sum(), x)
    order = x.detach().flatten().argsort()
    value, approximated, slope = (t.detach().flatten()[order] for t in (x, made, slope))
    return Approximation(layer, planes, value, approximated, slope)


def _conv(model: nn.Module, layer: str) -> PAConv2d:
    if layer not in quantized_convolutions(model):
        raise UsageError(f"{layer}: expected one of {', '.join(quantized_convolutions(model))}")
    conv = model.get_submodule(layer)
    assert isinstance(conv, PAConv2d)
    return conv

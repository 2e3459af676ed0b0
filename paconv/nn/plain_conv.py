"""A layer of a class derived from nn.Conv2d as a plain convolution, where it is one:

    layer(x) = conv2d(pad(x), W) + b,      W and b no functions of x, pad zeros around the image

as convolutions padded the way of TensorFlow's "same" are, and those with standardized weights. What a layer computes is
seen by running it on random images: of the operations that it calls, the one that makes its result has to be a
convolution of its input, or of that padded with zeros, and W and b have to be the same for other images. Then whatever
else it calls makes W, b and the padding alone.

Padding may depend on the size of the image ("same" with a stride does). It is that of the sizes that the layer reads,
where these are known, otherwise it has to be the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from paconv.nn.computed_weights import copied

__all__ = ["NotPlain", "PlainConv", "plain_conv"]

Size = tuple[int, int]


class NotPlain(Exception):
    """Why a layer is no plain convolution."""


@dataclass(frozen=True)
class PlainConv:
    """What a layer computes."""

    conv: nn.Conv2d
    """With the same padding on both sides, or none and `pads`."""
    pads: tuple[int, int, int, int] | None
    """Zeros left, right, above and below where the sides differ."""
    new_weights: bool
    """Whether the weights are others than the layer's parameter."""
    sizes: tuple[Size, ...]
    """What sizes of images the padding holds for, ascending; () for all."""


@dataclass
class _Call:
    """A convolution that was called."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    stride: object
    padding: Any
    """As given; then zeros left, right, above and below, those of a pad before it included."""
    dilation: object
    groups: int
    made: Tensor


class _Calls(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.convolutions: list[_Call] = []
        self.pads: list[tuple[Tensor, Tensor, list[int]]] = []
        """Padded tensor, what it was made of, zeros added."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        made = function(*args, **kwargs)
        if function is torch.conv2d:
            names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
            defaults = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
            given = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
            self.convolutions.append(_Call(*(given[name] for name in names), made))
        elif function in (F.pad, torch.constant_pad_nd):
            given = {**dict(zip(("input", "pad", "mode", "value"), args, strict=False)), **kwargs}
            zeros = given.get("mode", "constant") == "constant" and not given.get("value")
            if function is F.pad and zeros:
                self.pads.append((made, given["input"], [int(n) for n in given["pad"]]))
        return made


def plain_conv(layer: nn.Conv2d, sizes: Iterable[Size] = ()) -> PlainConv:
    """What `layer` computes in eval mode, for images of `sizes`, or any size if there are none.

    Raises NotPlain if it is no plain convolution, with what it is or what would help.
    """
    name = type(layer).__name__
    sizes = sorted(set(sizes))
    watched = copied(layer).eval()
    rows, columns = ((k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True))
    tried = [(rows + n, columns + n) for n in range(max(layer.stride) + 1)] + [(rows + 7, columns + 12)]
    call, other = _call(watched, tried[0]), _call(watched, tried[0], seed=1)
    if not torch.equal(call.weight, other.weight) or not _equal(call.bias, other.bias):
        raise NotPlain(f"{name} computes its weights from its input")
    everywhere = {call.padding, *(_call(watched, size).padding for size in tried[1:])}
    found = {_call(watched, size).padding for size in sizes}
    sized = len(everywhere | found) > 1
    if sized and not sizes:
        raise NotPlain(
            f"{name} pads by an amount that depends on the size of its input; give convert an input_shape to fix it"
        )
    if len(found) > 1:
        text = " and ".join(f"{h}x{w}" for h, w in sizes[:2])
        raise NotPlain(
            f"{name} pads inputs of {text} by different amounts; replace it by an nn.Conv2d with its own padding"
        )
    left, right, top, bottom = (found or everywhere).pop()
    conv = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (call.weight.shape[2], call.weight.shape[3]),
        stride=call.stride,  # type: ignore[arg-type]
        padding=(top, left) if (top, left) == (bottom, right) else 0,
        dilation=call.dilation,  # type: ignore[arg-type]
        groups=call.groups,
        bias=call.bias is not None,
        device="meta",
    )
    if call.weight.shape != conv.weight.shape:
        raise NotPlain(f"{name} convolves with weights of another shape than its own")
    own = layer._parameters.get("weight")
    new_weights = own is None or not torch.equal(call.weight, own)
    conv.weight = nn.Parameter(call.weight.detach().clone()) if new_weights else own  # type: ignore[assignment]
    if call.bias is not None:
        bias = layer._parameters.get("bias")
        same = bias is not None and torch.equal(bias, call.bias)
        conv.bias = bias if same else nn.Parameter(call.bias.detach().clone())
    pads = None if (top, left) == (bottom, right) else (left, right, top, bottom)
    return PlainConv(conv.train(layer.training), pads, new_weights, tuple(sizes) if sized else ())


@torch.no_grad()
def _call(layer: nn.Conv2d, size: Size, seed: int = 0) -> _Call:
    """The convolution by which `layer` makes its result of random images of `size`."""
    name = type(layer).__name__
    generator = torch.Generator().manual_seed(seed)
    weight = layer.weight
    x = torch.randn(1 + seed, layer.in_channels, *size, generator=generator).to(weight.device, weight.dtype)
    calls = _Calls()
    try:
        with calls:
            made = layer(x)
    except Exception as error:  # the layer's own code
        raise NotPlain(f"{name} can't be run by itself: {type(error).__name__}") from error
    call = next((c for c in calls.convolutions if c.made is made), None)
    if call is None:
        raise NotPlain(f"{name} doesn't end in a convolution, and may compute something else than nn.Conv2d")
    padding = _four_sides(call)
    while call.x is not x:
        added = next((pad for pad in calls.pads if pad[0] is call.x), None)
        if added is None or min(added[2]) < 0 or any(added[2][4:]):
            raise NotPlain(f"{name} convolves something else than its input, padded with zeros or not")
        call.x = added[1]
        padding = tuple(a + b for a, b in zip(padding, (*added[2], 0, 0, 0, 0)[:4], strict=True))
    call.padding = padding
    return call


def _four_sides(call: _Call) -> tuple[int, ...]:
    """Left, right, top, bottom of a convolution's own padding."""
    if isinstance(call.padding, str):
        if call.padding == "valid":
            return 0, 0, 0, 0
        dilation = call.dilation if isinstance(call.dilation, (tuple, list)) else (call.dilation, call.dilation)
        rows, columns = (d * (k - 1) for d, k in zip(dilation, call.weight.shape[2:], strict=True))
        return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
    rows, columns = call.padding if isinstance(call.padding, (tuple, list)) else (call.padding, call.padding)
    return int(columns), int(columns), int(rows), int(rows)


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))

"""Which part of a network a conversion reaches: of its parameters, of its multiply-accumulates (MACs), of its file.

    bits of a converted weight      ceil(log2 of the levels of a weight), as pa.onnx stores it
    MACs of a layer                 elements of its output * products in each, of a batch of 1

Levels, endpoints and the graph aren't counted: a few kB a layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from paconv.bits import code_bits
from paconv.nn.forwards import in_mode, removing
from paconv.nn.quantizer import Quantizer
from paconv.nn.reading import LAYERS

__all__ = ["Share", "share_of"]

_REAL_BITS = 32


@dataclass(frozen=True)
class Share:
    """What is converted, and of how much."""

    weights: int
    """Converted weights."""
    parameters: int
    """Parameters of the float network, the statistics of batch norms included."""
    weight_bits: int
    """Bits of a converted weight in pa.onnx."""
    macs: int | None
    """MACs of the converted layers; None where the input's shape isn't known."""
    all_macs: int | None
    """MACs of all layers."""

    @property
    def float_bytes(self) -> int:
        """What the float network's file weighs, about."""
        return self.parameters * _REAL_BITS // 8

    @property
    def file_bytes(self) -> int:
        """What pa.onnx will weigh, about."""
        return self.float_bytes - self.weights * (_REAL_BITS - self.weight_bits) // 8

    def __str__(self) -> str:
        macs = "" if self.macs is None else f"{100 * self.macs / max(self.all_macs or 0, 1):.1f} % of MACs, "
        return (
            f"{macs}{100 * self.weights / max(self.parameters, 1):.1f} % of parameters; the file will weigh about "
            f"{self.file_bytes / 1e6:.3g} MB, {self.float_bytes / 1e6:.3g} MB in float"
        )

    def as_data(self) -> dict:
        """All of it as plain data."""
        return {**vars(self), "float_bytes": self.float_bytes, "file_bytes": self.file_bytes}


def share_of(
    model: nn.Module, converted: Iterable[str], levels: int, input_shape: tuple[int, ...] | None = None
) -> Share:
    """The share of the layers named `converted` in the converted `model`.

    Args:
        model: A converted model.
        converted: Names of its converted layers.
        levels: How many levels a weight of theirs has.
        input_shape: (C, H, W) without the batch; None leaves MACs out. The model runs once on zeros.
    """
    layers: dict[str, Any] = {name: model.get_submodule(name) for name in converted}
    inside = {id(m) for layer in layers.values() for m in layer.modules()}
    weights = sum(_weights(layer) for layer in layers.values())
    biases = sum(next((m.bias.numel() for m in layer.modules() if _has_bias(m)), 0) for layer in layers.values())
    own = {id(t) for m in model.modules() if isinstance(m, Quantizer) for t in (*m.parameters(), *m.buffers())}
    rest = 0
    for module in model.modules():
        if id(module) not in inside:
            tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
            rest += sum(t.numel() for t in tensors if t.is_floating_point() and id(t) not in own)
    macs = all_macs = None
    if input_shape is not None:
        counted = _macs(model, layers, tuple(input_shape))
        macs, all_macs = sum(n for name, n in counted.items() if name in layers), sum(counted.values())
    return Share(weights, rest + weights + biases, code_bits(levels), macs, all_macs)


def _has_bias(module: nn.Module) -> bool:
    return isinstance(getattr(module, "bias", None), Tensor)


def _weights(layer) -> int:
    return layer.out_channels * layer.in_channels // layer.groups * prod(layer.kernel_size)


@torch.no_grad()
def _macs(model: nn.Module, converted: dict[str, nn.Module], input_shape: tuple[int, ...]) -> dict[str, int]:
    """MACs of each layer that runs, by name; of what a converted layer consists of, together."""
    inside = {id(m) for layer in converted.values() for m in layer.modules()} - {id(m) for m in converted.values()}
    counted: dict[str, int] = {}

    def watch(name: str, layer: Any) -> None:
        def hook(_, args: tuple, made: Tensor) -> None:
            if name in converted:
                window = _weights(layer) // layer.out_channels
                n = made.numel() * window
            elif isinstance(layer, nn.Linear):
                n = made.numel() * layer.in_features
            else:
                transposed = getattr(layer, "transposed", False)
                n = (args[0] if transposed else made).numel() * prod(layer.weight.shape[1:])
            counted[name] = counted.get(name, 0) + n

        stack.enter_context(removing(layer.register_forward_hook(hook)))

    like = next(model.parameters(), torch.zeros(()))
    with ExitStack() as stack:
        stack.enter_context(in_mode(model, training=False))
        for name, layer in model.named_modules():
            if (name in converted or isinstance(layer, LAYERS)) and id(layer) not in inside:
                watch(name, layer)
        model(torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device))
    return counted

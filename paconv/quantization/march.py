"""A network quantized convolution after convolution, each on what the quantized ones before it give.

The float network runs beside it, segment by segment (paconv.quantization.segments), so that one pass over the samples
is all that either takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from paconv.quantization.activation_levels import ActivationLevels, fit_levels
from paconv.quantization.channels import Channels, channel_means
from paconv.quantization.equalization import equalized_levels
from paconv.quantization.layer import QuantizedWeights, quantized_weights, sampled_rows
from paconv.quantization.segments import Cut
from paconv.quantization.settings import Settings
from paconv.quantization.windows import Geometry

__all__ = ["Layer", "Marched", "Target", "march"]

Batches = dict[str, list[np.ndarray]]
"""Tensor -> its value for each batch."""


@dataclass(frozen=True)
class Target:
    """A convolution to be quantized."""

    name: str
    """Of its node."""
    node: onnx.NodeProto
    """The Conv."""
    weight: np.ndarray
    """(O, C/g, KH, KW) float32."""
    bias: np.ndarray
    """(O,) float32."""
    geometry: Callable[[int, int], Geometry]
    """(height, width) of its input -> where its windows lie."""
    signed: bool
    """Whether what it reads may be negative."""
    settings: Settings
    """Its levels."""


@dataclass(frozen=True)
class Layer:
    """A quantized convolution."""

    target: Target
    """What it was."""
    activation: ActivationLevels | None
    """Levels of what it reads; None for real activations."""
    weights: QuantizedWeights
    """Levels and codes of its weights, scale and bias."""
    real: bool
    """Whether it stays real after all, its error being too large."""
    windows: int
    """How many it was fitted to."""


@dataclass(frozen=True)
class Marched:
    """All convolutions, and both networks' outputs on the samples."""

    layers: tuple[Layer, ...]
    """In the order they run."""
    outputs: tuple[Batches, Batches]
    """Of the float and of the quantized network."""


def march(
    pieces: Cut,
    targets: Sequence[Target],
    samples: list[dict[str, np.ndarray]],
    done: Callable[[Layer], None],
    most_error: float | None = None,
) -> Marched:
    """Quantize `targets`, the convolutions that `pieces` are cut at, in their order.

    samples: inputs by name, per batch. done: called after each layer. most_error: a layer that adds more error than
    that stays real (paconv.quantization.layer.LayerError).
    """
    start: Batches = {name: [batch[name] for batch in samples] for name in samples[0]}
    start |= _run(pieces, 0, (), {}, start)
    exact, quantized = dict(start), dict(start)
    found: list[Layer] = []
    shared: dict[tuple, ActivationLevels | None] = {}
    for number, target in enumerate(targets, 1):
        name, settings = target.node.input[0], target.settings
        x = quantized[name]
        geometry = target.geometry(*x[0].shape[2:])
        shifted = settings.by_channel and target.signed and not any(geometry.pads)
        key = (name, settings.activation, target.signed, shifted)
        if key not in shared:
            shared[key] = _levels(x, target, targets, shifted=shifted)
        levels = shared[key]
        rows = sampled_rows(x, exact[name], levels, target.weight, target.bias, geometry, settings.seed)
        weights = quantized_weights(rows, levels, target.weight, settings, geometry.group)
        real = most_error is not None and weights.error.added > most_error
        layer = Layer(target, levels, weights, real, len(rows.y))
        found.append(layer)
        exact |= _run(pieces, number, (target.node,), {}, exact)
        if real:
            quantized |= _run(pieces, number, (target.node,), {}, quantized)
        else:
            quantized |= _run_quantized(pieces, number, layer, quantized)
        for tensors in (exact, quantized):
            for stale in [name for name in tensors if pieces.last_use.get(name, -1) <= number]:
                del tensors[stale]
        done(layer)
    wanted = [value.name for value in pieces.model.graph.output]
    float_outputs, outputs = ({name: tensors[name] for name in wanted} for tensors in (exact, quantized))
    return Marched(tuple(found), (float_outputs, outputs))


def _levels(
    x: list[np.ndarray], target: Target, targets: Sequence[Target], *, shifted: bool
) -> ActivationLevels | None:
    """Of what `target` reads, x (B, C, H, W) in parts, and whatever else reads it with such levels."""
    settings = target.settings
    wanted = settings.activation
    if wanted is None:
        return None
    if not settings.by_channel:
        return fit_levels(x, wanted, signed=target.signed, channels=Channels(), seed=settings.seed)
    readers = [
        (other.weight, other.settings.weight_levels)
        for other in targets
        if other.node.input[0] == target.node.input[0] and other.settings.activation == wanted
    ]
    shift = channel_means(x) if shifted else None
    return equalized_levels(x, readers, wanted, signed=target.signed, shift=shift, seed=settings.seed)


def _run(
    pieces: Cut, number: int, before: Sequence[onnx.NodeProto], constants: dict[str, np.ndarray], tensors: Batches
) -> Batches:
    segment = pieces.segments[number]
    run = pieces.runner(segment, before, constants, {name: parts[0] for name, parts in tensors.items()})
    made: Batches = {name: [] for name in run.gives}
    for index in range(len(next(iter(tensors.values())))):
        for name, value in run({name: parts[index] for name, parts in tensors.items()}).items():
            made[name].append(value)
    return made


def _run_quantized(pieces: Cut, number: int, layer: Layer, tensors: Batches) -> Batches:
    """The segment behind a quantized convolution, whose sums are of integers, scaled and biased as PABitConv's."""
    node, weights, levels = layer.target.node, layer.weights, layer.activation
    read, own = node.input[0], f"{node.output[0]}/quantized"
    names = [f"{own}/{part}" for part in ("x", "W", "sum", "scale", "scaled", "bias")]
    x, W, total, scale, scaled, bias = names
    conv = onnx.NodeProto()
    conv.CopyFrom(node)
    del conv.input[:], conv.output[:]
    conv.input.extend([x, W])
    conv.output.append(total)
    unit = 1.0 if levels is None else levels.unit
    nodes = [
        conv,
        onnx.helper.make_node("Mul", [total, scale], [scaled]),
        onnx.helper.make_node("Add", [scaled, bias], [node.output[0]]),
    ]
    constants = {
        W: weights.levels[weights.codes].astype(np.float32),
        scale: (weights.units * unit).astype(np.float32).reshape(-1, 1, 1),
        bias: weights.bias.reshape(-1, 1, 1),
    }
    like = {name: parts[0] for name, parts in tensors.items()} | {x: tensors[read][0]}
    run = pieces.runner(pieces.segments[number], nodes, constants, like)
    made: Batches = {name: [] for name in run.gives}
    for index, value in enumerate(tensors[read]):
        value = value if levels is None else levels.levels[levels.index(value)]
        for name, output in run({name: parts[index] for name, parts in tensors.items()} | {x: value}).items():
            made[name].append(output)
    return made

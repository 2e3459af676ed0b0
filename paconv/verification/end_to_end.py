"""Both models as they are served, on the same inputs: outputs compared, flipped decisions counted on the way.

One flip moves everything behind it, so differences here say how much rounding matters to this network; whether the
optimized model is right is decided by the layers and the graph around them. Where decisions flip, the reference is run
once more, on inputs moved to the next float up or down. What that alone turns is the network's own: a network with
random weights carries a rounding through to its outputs, a trained one mostly doesn't.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from paconv.reference import activation_levels
from paconv.verification.layers import Layer
from paconv.verification.model import OpenModel, run_model

__all__ = ["EndToEnd", "MovedInputs", "OutputDifference", "compare_end_to_end"]


@dataclass(frozen=True)
class OutputDifference:
    """How far one graph output is off."""

    name: str
    """Of the output."""
    largest: float
    """max |difference|."""
    scale: float
    """max |reference|."""
    agreeing: int | None
    """Rows with the same top-1 class; None if the output has no classes."""
    rows: int
    """Rows compared."""


@dataclass(frozen=True)
class MovedInputs:
    """The reference against itself, its inputs moved by one rounding."""

    outputs: list[OutputDifference]
    """One per graph output."""
    flips: int
    """Decisions that differ between the two runs."""
    explains: bool
    """Whether that is as much as optimizing moved, within a factor of 10: then rounding is the reason."""


@dataclass(frozen=True)
class EndToEnd:
    """How two runs differ."""

    outputs: list[OutputDifference]
    """One per graph output."""
    decisions: int
    """Decisions compared."""
    flips: int
    """Decisions that differ between the two runs."""
    first_flip: str | None
    """The first layer with a flip; None if there is none."""
    moved_inputs: MovedInputs | None = None
    """None without a flip, or without an input of floats to move."""


def compare_end_to_end(
    reference: OpenModel, optimized: OpenModel, served: onnx.ModelProto, layers: list[Layer], feeds: dict
) -> EndToEnd:
    """Run both with onnxruntime's usual optimizations and compare every graph output and every decision.

    served: the model whose outputs count; optimized: its canonical form, the same model if it isn't fused.
    """
    decided = [name for layer in layers for name in (layer.A, layer.real_levels)]
    expected = run_model(reference.model, feeds, [*reference.outputs, *decided], label=reference.label, plain=False)
    read = [layer.X for layer in layers]
    found = run_model(optimized.model, feeds, [*optimized.outputs, *read], label=optimized.label, plain=False)
    if served is not optimized.model:
        found |= run_model(served, feeds, optimized.outputs, label=optimized.label, plain=False)
    outputs = [_difference(name, found[name], expected[name]) for name in reference.outputs]
    flips, decisions, first = 0, 0, None
    for layer in layers:
        levels = activation_levels(found[layer.X], layer.parameters["v"], layer.parameters["sign"])
        count = int((expected[layer.real_levels][levels] != expected[layer.A]).sum())
        first = first or (layer.name if count else None)
        flips, decisions = flips + count, decisions + levels.size
    moved = _moved_inputs(reference, layers, feeds, expected, outputs, flips) if flips else None
    return EndToEnd(outputs, decisions, flips, first, moved)


_FACTOR = 10
"""What two roundings turn, which a network carries through, differs by less; a fault turns what rounding doesn't."""


def _moved_inputs(
    reference: OpenModel,
    layers: list[Layer],
    feeds: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    found: list[OutputDifference],
    flips: int,
) -> MovedInputs | None:
    draw = np.random.default_rng(0)
    moved = {name: _next(x, draw) if x.dtype.kind == "f" else x for name, x in feeds.items()}
    if all(moved[name] is x for name, x in feeds.items()):
        return None
    decided = [layer.A for layer in layers]
    again = run_model(reference.model, moved, [*reference.outputs, *decided], label=reference.label, plain=False)
    outputs = [_difference(name, again[name], expected[name]) for name in reference.outputs]
    turned = sum(int((again[name] != expected[name]).sum()) for name in decided)
    same = turned * _FACTOR >= flips and all(
        a.largest * _FACTOR >= b.largest for a, b in zip(outputs, found, strict=True)
    )
    return MovedInputs(outputs, turned, same)


def _next(x: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Each value moved to the next float, up or down by chance."""
    towards = np.where(draw.integers(0, 2, x.shape), np.inf, -np.inf).astype(x.dtype)
    with np.errstate(over="ignore"):  # the largest float's next is infinite
        return np.nextafter(x, towards)


def _difference(name: str, found: np.ndarray, expected: np.ndarray) -> OutputDifference:
    a, b = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinite in both
        largest = float(np.nanmax(np.abs(a - b), initial=0)) if a.shape == b.shape else float("inf")
    agreeing = None
    if a.shape == b.shape and a.ndim == 2 and a.shape[1] > 1:
        agreeing = int((a.argmax(1) == b.argmax(1)).sum())
    return OutputDifference(name, largest, float(np.nanmax(np.abs(b), initial=0)), agreeing, len(b) if b.ndim else 1)

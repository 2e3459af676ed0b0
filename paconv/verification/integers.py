"""A layer of integer levels (paconv.ops.integer_levels): units, sums and outputs, all with ==.

    weights     float32(unit_o w[o,k]) == W_bar[o,k] of the reference, and float32(unit a_e) == its level e
    sums        what the node computes with scale 1 and bias 0 == float32(sum_k w a), in int64; float32 holds it
                exactly below 2**24
    outputs     Y == float32(float32(scale * float32(sum)) + bias)
    scale       the float32 nearest to  s unit_o unit,  s and b what follows the reference's convolution
    bias        the float32 nearest to  b

The units are those of the smallest integers that make the reference's levels, divided by what w and a are multiples of
(1, as `paconv optimize` writes them). s, b and the products are in float64, here and in the optimizer, by at most 8
roundings per node: where these leave open which float32 is nearest, either will do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paconv.bits import level_table
from paconv.grid import MOST_ACTIVATION, MOST_WEIGHT, integers_of
from paconv.ops.integer_levels import IntegerLevels
from paconv.ops.pa_bit_conv import PA_BIT_CONV
from paconv.reference import finish_conv, integer_sums
from paconv.verification.bounds import folded
from paconv.verification.layers import Difference, Layer, LayerResult, first
from paconv.verification.model import OpenModel, run_model
from paconv.verification.one_node import one_node

__all__ = ["Units", "check_sums", "units_of"]


@dataclass(frozen=True)
class Units:
    """By what integers are the reference's levels; NaN where all are 0, so that it doesn't matter."""

    weights: np.ndarray
    """(O,) float64."""
    activations: float
    """float64."""


def units_of(layer: Layer, integers: IntegerLevels, values: dict[str, np.ndarray]) -> Units:
    """The units by which the integers are the reference's levels. Raises Difference if they are not."""
    W_bar, levels = values[layer.W_bar], values[layer.real_levels]
    smallest = [_smallest(row, MOST_WEIGHT, "weights") for row in _weight_tables(layer, values)]
    units = np.broadcast_to(smallest, len(W_bar))
    weights = [
        _unit(W_bar[o], integers.weights[o], unit, f"weights of output channel {o}") for o, unit in enumerate(units)
    ]
    where = "decisions: level values"
    unit = _smallest(levels, MOST_WEIGHT if levels.min() < 0 else MOST_ACTIVATION, where)
    return Units(np.array(weights), _unit(levels, integers.activations, unit, where))


def _weight_tables(layer: Layer, values: dict[str, np.ndarray]) -> np.ndarray:
    """(1 or O, levels) float32: the values that the reference's weights can have, as the optimizer found them."""
    levels, *alpha = (values[name] for name in layer.weight_tables)
    if alpha:
        return level_table(alpha[0], layer.attributes["weight_masks"])
    return levels.reshape(1, -1)


def _smallest(levels: np.ndarray, most: int, where: str) -> float:
    grid = integers_of(levels, most)
    if grid is None:
        raise Difference(f"{where}: integers, but {levels.tolist()} of the reference are none times a unit")
    return grid.unit


def _unit(levels: np.ndarray, integers: np.ndarray, unit: float, where: str) -> float:
    """The unit by which `integers` are `levels`, k times `unit`."""
    k = np.rint(levels.astype(np.float64) / unit).astype(np.int64)
    integers = integers.astype(np.int64)
    largest, multiple = (int(np.abs(each).max()) for each in (k, integers))
    differs = (integers * largest != k * multiple) | ((integers == 0) & (k != 0))
    differs |= (k * unit).astype(np.float32) != levels
    if differs.any():
        at = first(differs)
        raise Difference(
            f"{where}: {int(differs.sum())} differ, first at {at}: {integers[at]} in place of {levels[at]}, which is "
            f"{k[at]} times {unit:.9g}"
        )
    return unit * largest / multiple if multiple else np.nan


def check_sums(
    layer: Layer,
    integers: IntegerLevels,
    units: Units,
    levels: np.ndarray,
    reference: OpenModel,
    values: dict[str, np.ndarray],
    result: LayerResult,
) -> None:
    """Compare scale and bias with the reference's constants, sums and outputs with those of `levels`."""
    _check_factors(layer, integers, units, reference)
    out, X, Y = len(integers.weights), values[layer.X], values[layer.Y]
    scale, bias = layer.parameters["scale"], layer.parameters["bias"]
    sums = integer_sums(levels, integers, layer.attributes)
    if sums.shape != Y.shape:
        raise Difference(f"outputs: shape {sums.shape} instead of {Y.shape}")
    ones, zeros = np.ones(out, np.float32), np.zeros(out, np.float32)
    for what, factors, expected in (
        ("sums", {"scale": ones, "bias": zeros}, sums.astype(np.float32)),
        ("outputs", {}, finish_conv(sums, scale, bias)),
    ):
        model = one_node(layer, PA_BIT_CONV, 4, **factors)
        found = run_model(model, {"X": X}, ["out"], label=layer.name, plain=False)["out"]
        differs = ~((found == expected) | (np.isnan(found) & np.isnan(expected)))
        if differs.any():
            at = first(differs)
            raise Difference(
                f"{what}: {int(differs.sum())} of {differs.size} differ, first at {at}: {found[at]} instead of "
                f"{expected[at]}"
            )
    result.integers += sums.size


def _check_factors(layer: Layer, integers: IntegerLevels, units: Units, reference: OpenModel) -> None:
    out = len(integers.weights)
    path = reference.path(layer.conv.output[0], layer.Y)
    after = folded(path, layer.offset(reference), reference.constants)
    slope, offset, size = (
        np.broadcast_to(each, (1, out, 1, 1)).reshape(out) for each in (after.slope, after.offset, after.size)
    )
    scale = slope * units.weights * units.activations
    room = 16 * (after.nodes + 1) * 2.0**-53
    for name, exact, margin in (("scale", scale, room * np.abs(scale)), ("bias", offset, room * size)):
        found = layer.parameters[name]
        with np.errstate(over="ignore"):
            low, high = (exact - margin).astype(np.float32), (exact + margin).astype(np.float32)
        wrong = ~((low <= found) & (found <= high)) & ~np.isnan(exact)
        if wrong.any():
            (o,) = first(wrong)
            raise Difference(
                f"{name}: {int(wrong.sum())} of {out} differ, first of output channel {o}: {found[o]:.9g} instead of "
                f"{exact[o]:.12g}"
            )

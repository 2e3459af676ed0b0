"""Levels that are integers times a unit become the integers; the units go into the output scale.

    level of a weight in channel o      unit_o * k        k the smallest integers (paconv.grid.integers_of)
    level of an activation              unit * l
    Y = scale_o * sum_k w a + bias_o    = (scale_o unit_o unit) * sum k l + bias_o

Where all channels have the same integers, one row of alpha is left: a scale of each filter, as XNOR-Net has it, is an
output scale. A channel whose levels are all 0 has the unit 0. Levels without such a form stay as they are, and so do
those whose integers are too large for a sum in 32 bits (paconv.ops.integer_levels).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from paconv.bits import level_table
from paconv.grid import MOST_ACTIVATION, MOST_WEIGHT, integers_of
from paconv.ops.integer_levels import integer_levels
from paconv.passes.graph.bit_conv import bit_convs, channels_out, parameter, set_parameter
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["INTEGER_LEVELS"]


def _integers(coefficients: np.ndarray, masks: list[int], most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(integer coefficients of each row, the shape of `coefficients`; unit of each row, float64), or None.

    coefficients: (rows, P+1) float32, offset first; masks: plane mask of each level. The coefficients themselves have
    to be multiples of the unit of their levels, up to the rounding of either.
    """
    table = level_table(coefficients, masks)
    grids = [grid for row in table if (grid := integers_of(row, most)) is not None]
    if len(grids) < len(table):
        return None
    units = np.array([grid.unit for grid in grids])
    k = np.rint(coefficients.astype(np.float64) / units[:, None]).astype(np.float32)
    if not np.array_equal(level_table(k, masks), np.stack([grid.integers for grid in grids])):
        return None
    empty = ~table.any(1)
    if not empty.all():
        units[empty], k[empty] = 0, k[np.argmin(empty)]
    return k, units


def _as_integers(node: gs.Node) -> dict[str, np.ndarray] | None:
    """alpha, beta and scale of the node with integers as levels; None if it has none such, or has them already."""
    alpha, beta, scale = (parameter(node, name) for name in ("alpha", "beta", "scale"))
    if not (scale == 1).all():  # it holds something already, rounded
        return None
    signed = level_table(beta, node.attrs["level_masks"]).min() < 0
    weights = _integers(alpha, node.attrs["weight_masks"], MOST_WEIGHT)
    activations = _integers(beta[None], node.attrs["level_masks"], MOST_WEIGHT if signed else MOST_ACTIVATION)
    if weights is None or activations is None:
        return None
    (k, units), ((row,), (unit,)) = weights, activations
    units = np.broadcast_to(units * unit, channels_out(node))
    normal = (units >= np.finfo(np.float32).tiny) & (units <= np.finfo(np.float32).max)
    if not (normal | (units == 0)).all():
        return None
    k = k[:1] if (k == k[0]).all() else k
    if np.array_equal(k, alpha) and np.array_equal(row, beta):
        return None
    if integer_levels(node.attrs, {"W": parameter(node, "W"), "alpha": k, "beta": row}) is None:
        return None
    return {"alpha": k, "beta": row, "scale": units}


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in bit_convs(graph):
        found = _as_integers(node)
        if found is not None:
            for name, values in found.items():
                set_parameter(node, graph, name, values)
            result.rewritten.append(Rewrite("integer-levels", graph.label(node)))
    return result


def _on_a_grid(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in bit_convs(graph):
        if _as_integers(node) is not None:
            yield graph.label(node), "its levels are on a grid and not the smallest integers"


def _units_of_no_integers(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in bit_convs(graph):
        if parameter(node, "scale").dtype != np.float64:
            continue
        for name, masks in (("alpha", "weight_masks"), ("beta", "level_masks")):
            table = level_table(np.atleast_2d(parameter(node, name)), node.attrs[masks])
            if (table != np.rint(table)).any() or (np.gcd.reduce(table.astype(np.int64), axis=1) > 1).any():
                yield graph.label(node), f"a unit is in scale; the levels of {name} aren't the smallest integers"


INTEGER_LEVELS = Pass(
    name="integer-levels",
    requires=(
        Promise(
            "nothing was folded into the output scale before levels become integers",
            unseen="a graph that was optimized before has such scales too; they are left alone",
        ),
    ),
    ensures=(
        Promise("levels on a grid are the smallest integers where scale is 1", _on_a_grid),
        Promise("a scale in float64 holds the units of levels that are the smallest integers", _units_of_no_integers),
    ),
    run=_run,
)

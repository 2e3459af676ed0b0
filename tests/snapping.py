"""An exported model with all its levels on integer grids."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.bits import level_table
from paconv.grid import nearest_grid
from paconv.ops import DOMAIN

__all__ = ["on_grid", "snapped"]


def on_grid(values: np.ndarray, most: int) -> np.ndarray:
    """The values of the nearest grid of integers up to `most`: float32, of the shape of `values`."""
    grid = nearest_grid(values.reshape(-1), most)
    return (grid.unit * grid.integers).astype(np.float32).reshape(values.shape)


def snapped(model: onnx.ModelProto, weights: int = 15, activations: int = 31) -> onnx.ModelProto:
    """A copy whose weight and activation levels are integers up to these times a unit, one for each row of levels.

    Where a node says of which planes its levels are sums, those sums' coefficients are put on the grid of the levels.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stored = {i.name: i for i in copy.graph.initializer}
    for node in copy.graph.node:
        if (node.domain, node.op_type) not in ((DOMAIN, "PAWeight"), (DOMAIN, "PAActivation")):
            continue
        most = weights if node.op_type == "PAWeight" else activations
        arrays = [numpy_helper.to_array(stored[name]) for name in node.input[2:]]
        for name, values in zip(node.input[2:4], _on_grid(most, *arrays), strict=False):
            stored[name].CopyFrom(numpy_helper.from_array(values, name))
    return copy


def _on_grid(most: int, levels: np.ndarray, *planes: np.ndarray) -> tuple[np.ndarray, ...]:
    if not planes:
        return (on_grid(levels, most),)
    coefficients, masks = planes
    rows = np.atleast_2d(coefficients).astype(np.float64)
    units = np.array([[nearest_grid(row, most).unit] for row in level_table(rows, masks)])
    moved = (units * np.rint(rows / units)).astype(np.float32).reshape(coefficients.shape)
    return level_table(moved, masks).reshape(levels.shape), moved

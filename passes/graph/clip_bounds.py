"""What Relu and Clip bound their input to."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.graph.matching import is_op, optional_input, static_value

__all__ = ["clip_bounds"]


def clip_bounds(node: gs.Node) -> tuple[float, float] | None:
    """(l, h) of a Relu, or of a Clip with constant bounds; else None."""
    if is_op(node, "Relu"):
        return 0.0, np.inf
    if not is_op(node, "Clip"):
        return None
    bounds = []
    for index, default in ((1, -np.inf), (2, np.inf)):
        tensor = optional_input(node, index)
        value = np.float32(default) if tensor is None else static_value(tensor)
        if value is None or value.size != 1 or np.isnan(value).any():
            return None
        bounds.append(float(value.reshape(())))
    return bounds[0], bounds[1]

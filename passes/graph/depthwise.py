"""Real depthwise convolutions that PADepthwiseConv computes: one window a channel, of finite constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.graph.conv_geometry import Geometry, conv_geometry
from paconv.passes.graph.graph_pass import Unsuitable
from paconv.passes.graph.matching import is_op, optional_input, static_value

__all__ = ["depthwise_attributes", "depthwise_geometry", "is_depthwise"]


def depthwise_geometry(conv: gs.Node) -> Geometry:
    """Of a Conv that PADepthwiseConv computes. Raises Unsuitable for another one."""
    W, bias = static_value(conv.inputs[1]), optional_input(conv, 2)
    constants = [W] if bias is None else [W, static_value(bias)]
    if W is None or any(a is None or a.dtype != np.float32 or not np.isfinite(a).all() for a in constants):
        raise Unsuitable("depthwise-not-plain")
    if W.ndim != 4 or W.shape[1] != 1 or conv.attrs.get("group", 1) != W.shape[0]:
        raise Unsuitable("depthwise-not-plain")
    return conv_geometry(conv, W.shape[2:])


def depthwise_attributes(geometry: Geometry, weight_shape: tuple[int, ...]) -> dict[str, Any]:
    """Attributes of a Conv that passes make, all of them explicit."""
    placed = {"strides": geometry.strides, "pads": geometry.pads, "dilations": geometry.dilations}
    return placed | {"group": weight_shape[0], "kernel_shape": list(weight_shape[2:])}


def is_depthwise(node: gs.Node) -> bool:
    """Whether PADepthwiseConv computes what the node does."""
    try:
        return is_op(node, "Conv") and depthwise_geometry(node) is not None
    except Unsuitable:
        return False

"""Depthwise convolutions as PADepthwiseConv sums them, one by one and with nothing in their finish.

They are compared with the numpy reference, on what they read, with ==. That each is the Conv of the canonical form,
with its weights, is what paconv.passes.fuse.unfuse says; and that Conv is compared with the reference model's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from paconv import ops
from paconv.passes.fuse.layout import to_channel_first, to_channel_last
from paconv.passes.fuse.unfuse import Unfused
from paconv.reference import pa_depthwise_conv

__all__ = ["CONSTANTS", "depthwise_parts", "reference_sums"]

_NOTHING: dict[str, np.ndarray] = {
    "R": np.zeros((1, 1, 1, 1), np.float32),
    "clip": np.array([-np.inf, np.inf], np.float32),
    "v": np.full((1, 1), np.nan, np.float32),
    "sign": np.ones(1, np.int8),
}
"""The finish that adds, clips and compares nothing."""


def reference_sums(unfused: Unfused, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Result of such a Conv -> what the numpy reference makes of what it reads in `values`, (B, C, OH, OW)."""
    made = {node.output[0]: node for node in unfused.model.graph.node}
    stored = {i.name: i for i in unfused.model.graph.initializer}
    found = {}
    for name in unfused.depthwise:
        node = made[name]
        W, *bias = (onnx.numpy_helper.to_array(stored[each]) for each in node.input[1:])
        X = values[node.input[0]].transpose(to_channel_last())
        sums = pa_depthwise_conv(X, W, bias[0] if bias else np.zeros(1, np.float32), **_geometry(node))
        found[name] = sums.transpose(to_channel_first())
    return found


def _geometry(node: onnx.NodeProto) -> dict[str, list[int]]:
    attributes = {a.name: a.ints for a in node.attribute}
    return {name: list(attributes[name]) for name in ("strides", "pads", "dilations")}


CONSTANTS = {f".served.{name}": a for name, a in (_NOTHING | {"bias": np.zeros(1, np.float32)}).items()}
"""Initializers that `depthwise_parts` reads."""


def depthwise_parts(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Nodes that make what a Conv of the canonical form makes as a PADepthwiseConv does, between two Transposes."""
    Y = node.output[0]
    X, S = f"{Y}.served.X", f"{Y}.served.S"
    W, bias = node.input[1], node.input[2] if len(node.input) > 2 else ".served.bias"
    inputs = [X, ".served.R", W, bias, ".served.clip", *[".served.v", ".served.sign"] * 2]
    attributes: dict[str, Any] = _geometry(node) | {"version": ops.OPSET_VERSION, "names": [Y, "", ""]}
    helper = onnx.helper
    return [
        helper.make_node("Transpose", [node.input[0]], [X], perm=to_channel_last()),
        helper.make_node("PADepthwiseConv", inputs, [S, "", ""], node.name, domain=ops.DOMAIN, **attributes),
        helper.make_node("Transpose", [S], [Y], perm=to_channel_first()),
    ]

"""Depthwise convolutions as PADepthwiseConv sums them, in an otherwise canonical form.

A Conv of onnxruntime and a PADepthwiseConv differ by rounding, and behind a comparison that may be a whole level. So
the fused form is compared with a canonical one that has the PADepthwiseConvs, one by one and with nothing in their
finish; and these with the numpy reference, on what they read, with ==. That each is the Conv of the canonical form,
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

__all__ = ["as_served", "depthwise_reads", "reference_sums"]

_NOTHING: dict[str, np.ndarray] = {
    "R": np.zeros((1, 1, 1, 1), np.float32),
    "clip": np.array([-np.inf, np.inf], np.float32),
    "v": np.full((1, 1), np.nan, np.float32),
    "sign": np.ones(1, np.int8),
}
"""The finish that adds, clips and compares nothing."""


def as_served(unfused: Unfused) -> onnx.ModelProto:
    """The canonical form with a PADepthwiseConv, between two Transposes, for each Conv that stands for one."""
    if not unfused.depthwise:
        return unfused.model
    model = onnx.ModelProto()
    model.CopyFrom(unfused.model)
    nodes = [part for node in model.graph.node for part in _parts(node, unfused)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    constants = _NOTHING | {"bias": np.zeros(1, np.float32)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, _name("", name)) for name, a in constants.items())
    ops.add_functions(model)
    return model


def depthwise_reads(unfused: Unfused) -> dict[str, str]:
    """What each result of such a Conv is made from."""
    made = {node.output[0]: node for node in unfused.model.graph.node}
    return {name: made[name].input[0] for name in unfused.depthwise}


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


def _name(of: str, what: str) -> str:
    return f"{of}.served.{what}"


def _parts(node: onnx.NodeProto, unfused: Unfused) -> list[onnx.NodeProto]:
    if not set(node.output) & set(unfused.depthwise):
        return [node]
    Y, X, S = node.output[0], _name(node.output[0], "X"), _name(node.output[0], "S")
    W, bias = node.input[1], node.input[2] if len(node.input) > 2 else _name("", "bias")
    inputs = [X, _name("", "R"), W, bias, _name("", "clip"), *[_name("", "v"), _name("", "sign")] * 2]
    attributes: dict[str, Any] = _geometry(node) | {"version": ops.OPSET_VERSION, "names": [Y, "", ""]}
    helper = onnx.helper
    return [
        helper.make_node("Transpose", [node.input[0]], [X], perm=to_channel_last()),
        helper.make_node("PADepthwiseConv", inputs, [S, "", ""], node.name, domain=ops.DOMAIN, **attributes),
        helper.make_node("Transpose", [S], [Y], perm=to_channel_first()),
    ]

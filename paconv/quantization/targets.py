"""From a plan to the convolutions that are quantized: weights, biases, and where windows lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.onnx_file.graph_view import attribute
from paconv.onnx_file.same_pads import same_pads
from paconv.quantization.march import Target
from paconv.quantization.plan import Plan
from paconv.quantization.settings import Settings
from paconv.quantization.windows import Geometry

__all__ = ["targets_of", "with_pads_absorbed"]


def with_pads_absorbed(model: onnx.ModelProto, plan: Plan) -> onnx.ModelProto:
    """A copy of `model` in which each Pad before a planned convolution is that convolution's pads."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    nodes = {node.name: node for node in made.graph.node}
    for layer in plan.pa:
        if not layer.pad:
            continue
        conv = nodes[layer.name]
        pads = np.array(attribute(conv, "pads", [0, 0, 0, 0])) + np.array(layer.padding)
        kept = [a for a in conv.attribute if a.name not in ("pads", "auto_pad")]
        del conv.attribute[:]
        conv.attribute.extend([*kept, onnx.helper.make_attribute("pads", pads.tolist())])
        conv.input[0] = layer.reads
    read = {name for node in made.graph.node for name in node.input} | {value.name for value in made.graph.output}
    absorbed = {layer.pad for layer in plan.pa}
    kept_nodes = [n for n in made.graph.node if n.name not in absorbed or not n.name or n.output[0] in read]
    del made.graph.node[:]
    made.graph.node.extend(kept_nodes)
    return made


def targets_of(model: onnx.ModelProto, plan: Plan, settings: Settings, others: Mapping[str, Settings]) -> list[Target]:
    """The convolutions that `plan` quantizes, in the order of the nodes. others: settings of some, by name."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    planned = {layer.name: layer for layer in plan.pa}
    found = []
    for node in model.graph.node:
        layer = planned.get(node.name)
        if layer is None or not node.name:
            continue
        weight = numpy_helper.to_array(stored[layer.weight])
        chosen = others.get(layer.name, settings)
        found.append(
            Target(
                name=layer.name,
                node=node,
                weight=weight,
                bias=_bias(node, stored, len(weight)),
                geometry=_geometry(node, weight.shape[2:]),
                signed=not layer.rectified if chosen.signed is None else chosen.signed,
                settings=chosen,
            )
        )
    return found


def _bias(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto], out: int) -> np.ndarray:
    if len(node.input) < 3 or not node.input[2]:
        return np.zeros(out, np.float32)
    return numpy_helper.to_array(stored[node.input[2]]).astype(np.float32)


def _geometry(node: onnx.NodeProto, kernel: tuple[int, ...]) -> Callable[[int, int], Geometry]:
    strides = tuple(attribute(node, "strides", [1, 1]))
    dilations = tuple(attribute(node, "dilations", [1, 1]))
    mode = attribute(node, "auto_pad", b"NOTSET").decode()

    def at(height: int, width: int) -> Geometry:
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            axes = zip((height, width), kernel, strides, dilations, strict=True)
            (top, bottom), (left, right) = (same_pads(mode, *axis) for axis in axes)
            pads = (top, left, bottom, right)
        else:
            pads = (0, 0, 0, 0) if mode == "VALID" else tuple(attribute(node, "pads", [0, 0, 0, 0]))
        return Geometry(tuple(kernel), strides, pads, dilations, attribute(node, "group", 1))  # type: ignore[arg-type]

    return at

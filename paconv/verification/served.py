"""The canonical form with those nodes as they are served that round otherwise than the standard ops they stand for.

A Conv of onnxruntime and a PADepthwiseConv differ by rounding, and so do a mean and a product with a row; behind a
comparison that may be a whole level. So the fused form is compared with a canonical one that has these in their places,
and each of them with the numpy reference, on what it reads (paconv.verification.depthwise, paconv.verification.means).

Sigmoid and the like may round the last elements of a tensor, less than a vector, otherwise than the others. Which these
are depends on the layout: such nodes work channel-last here too.
"""

from __future__ import annotations

import onnx

from paconv import ops
from paconv.passes.fuse.layout import to_channel_first, to_channel_last
from paconv.passes.fuse.unfuse import Unfused
from paconv.verification.depthwise import CONSTANTS, depthwise_parts
from paconv.verification.means import mean_constants, mean_parts

__all__ = ["as_served", "served_reads"]


def as_served(unfused: Unfused) -> onnx.ModelProto:
    """The canonical form with a PADepthwiseConv for each Conv that stands for one, and a MatMul for each such mean."""
    if not unfused.depthwise and not unfused.means and not unfused.elementwise:
        return unfused.model
    model = onnx.ModelProto()
    model.CopyFrom(unfused.model)
    nodes = [part for node in model.graph.node for part in _parts(node, unfused)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    constants = dict(CONSTANTS)
    for name, row in unfused.means.items():
        constants |= mean_constants(name, row)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in constants.items())
    ops.add_functions(model)
    return model


def served_reads(unfused: Unfused) -> dict[str, str]:
    """What each result of such a Conv or mean is made from."""
    made = {node.output[0]: node for node in unfused.model.graph.node}
    return {name: made[name].input[0] for name in (*unfused.depthwise, *unfused.means)}


_EXACT = ("Clip", "LeakyRelu", "Relu")
"""Ops of one tensor that round each element at most once."""


def _parts(node: onnx.NodeProto, unfused: Unfused) -> list[onnx.NodeProto]:
    if node.output[0] in unfused.depthwise:
        return depthwise_parts(node)
    if node.output[0] in unfused.means:
        return mean_parts(node)
    if node.output[0] in unfused.elementwise and node.op_type not in _EXACT:
        return _channel_last(node)
    return [node]


def _channel_last(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The node, of one tensor, between two Transposes."""
    (x, y), helper = (node.input[0], node.output[0]), onnx.helper
    turned = onnx.NodeProto()
    turned.CopyFrom(node)
    turned.input[0], turned.output[0] = f"{y}.served.x", f"{y}.served.y"
    before = helper.make_node("Transpose", [x], list(turned.input[:1]), perm=to_channel_last())
    return [before, turned, helper.make_node("Transpose", list(turned.output), [y], perm=to_channel_first())]

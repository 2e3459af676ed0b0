"""Conv(PAActivation(x), PAWeight(W)) becomes PABitConv(x): real-valued products become AND and popcount (eq. 19).

Exact by construction: level values and weight values are the same float32 numbers as before; only the order of the
summation changes. Output scale 1 and bias b (or 0) leave room for later folding.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_graphsurgeon as gs

from paconv.ops import DOMAIN, OPSET_VERSION
from paconv.ops.pa_bit_conv import MAX_WINDOW
from paconv.passes.graph.conv_geometry import conv_geometry
from paconv.passes.graph.graph_pass import Pass, PassResult, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import is_op, is_paconv_op, optional_input, producer, static_value
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.lower.activation_planes import activation_planes
from paconv.passes.lower.weight_codes import packed_weight

__all__ = ["LOWER_CONV"]


def _bias(conv: gs.Node, out: int) -> np.ndarray:
    tensor = optional_input(conv, 2)
    if tensor is None:
        return np.zeros(out, np.float32)
    bias = static_value(tensor)
    if bias is None or bias.dtype != np.float32 or bias.shape != (out,):
        raise Unsuitable("bias-not-constant")
    return bias


def _lower(conv: gs.Node, graph: ModelGraph) -> None:
    weight_node = producer(conv.inputs[1])
    if not is_paconv_op(weight_node, "PAWeight"):
        raise Unsuitable("real-weights")
    activation_node = producer(conv.inputs[0])
    activation = activation_planes(activation_node)
    packed = packed_weight(weight_node)
    if prod(packed.shape[1:]) > MAX_WINDOW:
        raise Unsuitable("window-too-large")
    geometry = conv_geometry(conv, tuple(packed.shape[2:]))
    out = packed.shape[0]
    parameters = {
        "W": packed.W,
        "alpha": packed.alpha,
        "v": activation.v[None],
        "sign": np.ones(1, np.int8),
        "beta": activation.beta,
        "scale": np.ones(out, np.float32),
        "bias": _bias(conv, out),
    }
    label = graph.label(conv)
    X = activation_node.inputs[0]
    conv.op, conv.domain, conv.name = "PABitConv", DOMAIN, label
    conv.inputs = [X, *(graph.constant(value, f"{label}.{name}") for name, value in parameters.items())]
    conv.attrs = {
        "weight_shape": packed.shape,
        "weight_masks": packed.masks,
        "level_masks": activation.masks,
        "strides": geometry.strides,
        "pads": geometry.pads,
        "dilations": geometry.dilations,
        "group": geometry.group,
        "version": OPSET_VERSION,
    }


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in graph.nodes:
        if not is_op(node, "Conv"):
            continue
        label = graph.label(node)
        try:
            _lower(node, graph)
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
        else:
            result.rewritten.append(Rewrite("bit-conv", label))
    return result


LOWER_CONV = Pass(
    name="lower-conv",
    requires="nothing stands between the PA functions and the Conv that reads them",
    ensures="every Conv of a constant PAActivation and a constant PAWeight is a PABitConv, its inputs complete",
    run=_run,
    decides=True,
)

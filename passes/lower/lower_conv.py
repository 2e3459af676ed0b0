"""Conv(PAActivation(x), PAWeight(W)) becomes PABitConv(x): real-valued products become AND and popcount (eq. 19).

Exact by construction: level values and weight values are the same float32 numbers as before; only the order of the
summation changes. Output scale 1 and bias b (or 0) leave room for later folding.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import onnx_graphsurgeon as gs

from paconv.ops import DOMAIN, OPSET_VERSION, PA_BIT_CONV
from paconv.ops.pa_bit_conv import MAX_WINDOW
from paconv.passes.graph.conv_geometry import conv_geometry
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import is_op, is_paconv_op, optional_input, producer, static_value
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.lower.activation_planes import activation_planes
from paconv.passes.lower.weight_codes import packed_weight
from paconv.passes.tidy.drop_no_ops import DROP_NO_OPS
from paconv.passes.tidy.merge_pad import MERGE_PAD

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
    if not is_paconv_op(activation_node, "PAActivation"):
        raise Unsuitable("real-activations")
    activation = activation_planes(activation_node)
    packed = packed_weight(weight_node)
    if prod(packed.shape[1:]) > MAX_WINDOW:
        raise Unsuitable("window-too-large")
    geometry = conv_geometry(conv, packed.shape[2:])
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
        label = graph.label(node)
        if is_paconv_op(node, "PADepthwiseConv"):
            result.skipped.append(Skip("real-weights", label))
        if not is_op(node, "Conv"):
            continue
        try:
            _lower(node, graph)
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
        else:
            result.rewritten.append(Rewrite("bit-conv", label))
    return result


def _still_real(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if is_op(node, "Conv") and all(map(is_paconv_op, map(producer, node.inputs[:2]), ("PAActivation", "PAWeight"))):
            yield graph.label(node), "it is a Conv of a PAActivation and a PAWeight"


def _incomplete(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if is_paconv_op(node, "PABitConv"):
            names = [tensor.name for tensor in PA_BIT_CONV.inputs]
            given = len(node.inputs) - sum(tensor.is_empty() for tensor in node.inputs)
            if given != len(names):
                yield graph.label(node), f"it has {given} inputs, not {', '.join(names)}"


LOWER_CONV = Pass(
    name="lower-conv",
    requires=(*DROP_NO_OPS.ensures, *MERGE_PAD.ensures),  # nothing stands between the PA functions and their Conv
    ensures=(
        Promise(
            "every Conv of a constant PAActivation and a constant PAWeight is a PABitConv",
            _still_real,
            but_skipped=True,
        ),
        Promise("a PABitConv has all its inputs", _incomplete),
    ),
    run=_run,
    decides=True,
)

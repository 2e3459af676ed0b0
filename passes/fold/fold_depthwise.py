"""Batch norm (and per-channel constants) behind a real depthwise convolution goes into its weights and bias.

With Y_c = W_c * X_c + b_c and a = s_c Y_c + t_c per channel,  a = (s_c W_c) * X_c + (s_c b_c + t_c).  A chain of such
nodes is folded in float64 and rounded once. onnxruntime does the same to a Conv of its own, but nobody would to the
PADepthwiseConv that this one may become. What quantizers alone read is in their endpoints already.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fold.fold_after import affine_behind
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.graph.depthwise import depthwise_attributes, depthwise_geometry, is_depthwise
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import constant_value, optional_input
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["FOLD_DEPTHWISE"]


def _fold(conv: gs.Node, graph: ModelGraph, result: PassResult) -> None:
    label, geometry = graph.label(conv), depthwise_geometry(conv)
    weights, given = constant_value(conv.inputs[1]), optional_input(conv, 2)
    channels = len(weights)
    W = weights.astype(np.float64)
    bias = np.zeros(channels) if given is None else constant_value(given).astype(np.float64)
    folded = []
    while True:
        try:
            affine = affine_behind(conv.outputs[0], channels, graph)
            if affine is None:
                break
            new_W, new_bias = affine.s.reshape(-1, 1, 1, 1) * W, affine.s * bias + affine.b
            with np.errstate(over="ignore"):
                finite = all(np.isfinite(a.astype(np.float32)).all() for a in (new_W, new_bias))
            if not finite:
                raise Unsuitable("non-finite-parameters")
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
            break
        W, bias = new_W, new_bias
        output = affine.node.outputs[0]
        graph.remove(affine.node)
        conv.outputs = [output]
        folded.append(Rewrite(f"{affine.kind}-after", label))
    if folded:
        constants = {"W": W, "bias": np.broadcast_to(bias, channels)}
        new = [graph.constant(a.astype(np.float32), f"{label}.{name}") for name, a in constants.items()]
        conv.inputs = [conv.inputs[0], *new]
        conv.attrs = depthwise_attributes(geometry, weights.shape)
        result.rewritten += folded


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in list(filter(is_depthwise, graph.nodes)):
        _fold(conv, graph, result)
    return result


def _not_folded(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in filter(is_depthwise, graph.nodes):
        try:
            affine = affine_behind(conv.outputs[0], len(constant_value(conv.inputs[1])), graph)
        except Unsuitable:
            continue
        if affine is not None:
            yield graph.label(conv), f"the {affine.node.op} '{graph.label(affine.node)}' behind it could be folded"


FOLD_DEPTHWISE = Pass(
    name="fold-depthwise",
    requires=FOLD_BEFORE.ensures,  # it has taken the batch norms that it can, because endpoints keep decisions exact
    ensures=(
        Promise(
            "no real depthwise convolution's result is read by a batch norm or per-channel constant alone",
            _not_folded,
            but_skipped=True,
        ),
    ),
    run=_run,
    absorbs=("bn-after", "affine-after"),
)

"""Batch norm (and per-channel constants) behind a real depthwise convolution goes into its weights and bias.

With Y_c = W_c * X_c + b_c; a chain of such nodes (paconv.passes.fold.affines_behind) is folded in float64 and rounded
once. onnxruntime does the same to a Conv of its own, but nobody would to the PADepthwiseConv that this one may become.
What quantizers alone read is in their endpoints already.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from paconv.passes.fold.affines_behind import could_be_folded, fold_affines
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.graph.depthwise import depthwise_attributes, depthwise_geometry, is_depthwise
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise
from paconv.passes.graph.matching import constant_value, optional_input
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["FOLD_DEPTHWISE"]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in list(filter(is_depthwise, graph.nodes)):
        label, geometry = graph.label(conv), depthwise_geometry(conv)
        W, given = constant_value(conv.inputs[1]).astype(np.float64), optional_input(conv, 2)
        bias = np.zeros(len(W)) if given is None else constant_value(given).astype(np.float64)
        folded = fold_affines(conv, W, bias, len(W), graph, result)
        if folded is not None:
            named = zip(("W", "bias"), folded, strict=True)
            new = [graph.constant(a.astype(np.float32), f"{label}.{name}") for name, a in named]
            conv.inputs = [conv.inputs[0], *new]
            conv.attrs = depthwise_attributes(geometry, W.shape)
    return result


def _not_folded(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in filter(is_depthwise, graph.nodes):
        if said := could_be_folded(conv, len(constant_value(conv.inputs[1])), graph):
            yield graph.label(conv), said


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

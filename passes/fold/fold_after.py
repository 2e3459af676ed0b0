"""Batch norm (and per-channel constants) behind PABitConv goes into its output scale and bias.

With Y = scale S + bias; the units of the levels (paconv.passes.fold.integer_levels) and a chain of such nodes
(paconv.passes.fold.affines_behind) are folded in float64; paconv.passes.fold.narrow rounds them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from paconv.passes.fold.affines_behind import could_be_folded, fold_affines
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.graph.bit_conv import bit_convs, channels_out, parameter, set_parameter
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["FOLD_AFTER"]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in bit_convs(graph):
        scale, bias = (parameter(conv, name).astype(np.float64) for name in ("scale", "bias"))
        folded = fold_affines(conv, scale, bias, channels_out(conv), graph, result)
        if folded is not None:
            for name, value in zip(("scale", "bias"), folded, strict=True):
                set_parameter(conv, graph, name, value)
    return result


def _not_folded(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in bit_convs(graph):
        if said := could_be_folded(conv, channels_out(conv), graph):
            yield graph.label(conv), said


FOLD_AFTER = Pass(
    name="fold-after",
    requires=FOLD_BEFORE.ensures,  # it has taken the batch norms that it can, because endpoints keep decisions exact
    ensures=(
        Promise(
            "no PABitConv's result is read by a batch norm or per-channel constant alone", _not_folded, but_skipped=True
        ),
    ),
    run=_run,
    absorbs=("bn-after", "affine-after"),
)

"""Batch norm (and per-channel constants) behind PABitConv goes into its output scale and bias.

With Y = scale S + bias and a = s_c Y + b_c per output channel,  a = (s_c scale) S + (s_c bias + b_c).  The units of the
levels (paconv.passes.fold.integer_levels) and a chain of such nodes are folded in float64; paconv.passes.fold.narrow
rounds them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fold.affine import Affine, affine_of
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.graph.bit_conv import bit_convs, channels_out, parameter, set_parameter
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["FOLD_AFTER", "affine_behind"]


def affine_behind(tensor: gs.Tensor, channels: int, graph: ModelGraph) -> Affine | None:
    """The affine node that is the only reader of `tensor`."""
    consumers = readers(tensor)
    if not consumers or not graph.is_free(tensor):
        return None
    candidates = [affine_of(node, channels, graph) for node, _ in consumers]
    found = next((a for a in candidates if a is not None and a.x is tensor), None)
    if found is not None and len(consumers) > 1:
        raise Unsuitable("read-by-others")
    return found


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in bit_convs(graph):
        label, channels = graph.label(conv), channels_out(conv)
        scale, bias = (parameter(conv, name).astype(np.float64) for name in ("scale", "bias"))
        folded = []
        while True:
            try:
                affine = affine_behind(conv.outputs[0], channels, graph)
                if affine is None:
                    break
                new_scale, new_bias = affine.s * scale, affine.s * bias + affine.b
                with np.errstate(over="ignore"):
                    narrow = np.stack([new_scale, new_bias]).astype(np.float32)
                if not np.isfinite(narrow).all():
                    raise Unsuitable("non-finite-parameters")
            except Unsuitable as refusal:
                result.skipped.append(Skip(refusal.reason, label))
                break
            scale, bias = new_scale, new_bias
            output = affine.node.outputs[0]
            affine.node.outputs.clear()
            affine.node.inputs.clear()
            conv.outputs = [output]
            folded.append(Rewrite(f"{affine.kind}-after", label))
        if folded:
            set_parameter(conv, graph, "scale", scale)
            set_parameter(conv, graph, "bias", bias)
            result.rewritten += folded
    return result


def _not_folded(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in bit_convs(graph):
        try:
            affine = affine_behind(conv.outputs[0], channels_out(conv), graph)
        except Unsuitable:
            continue
        if affine is not None:
            yield graph.label(conv), f"the {affine.node.op} '{graph.label(affine.node)}' behind it could be folded"


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

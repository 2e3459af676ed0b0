"""Batch norm (and per-channel constants) in front of PABitConv goes into its endpoints.

paconv.passes.fold.endpoints says how. Only where every reader is a PABitConv: otherwise the batch norm has to be
computed anyway. The decisions of the folded endpoints equal those of float64 batch norm; a float32 batch norm may
decide otherwise within its own rounding. Folded endpoints are float64 until paconv.passes.fold.narrow rounds them.
"""

from __future__ import annotations

from paconv.passes.fold.affine import affine_of
from paconv.passes.fold.endpoints import fold_affine
from paconv.passes.graph.bit_conv import bit_convs, channels_in, parameter, set_parameter
from paconv.passes.graph.graph_pass import Pass, PassResult, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import producer, readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["FOLD_BEFORE"]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    convs = bit_convs(graph)
    foldable = {id(n) for n in convs}
    for conv in convs:
        label, X = graph.label(conv), conv.inputs[0]
        try:
            affine = affine_of(producer(X), channels_in(conv), graph)
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
            continue
        if affine is None:
            continue
        consumers = readers(X)
        if not graph.is_free(X) or any(id(n) not in foldable or i != 0 for n, i in consumers):
            result.skipped.append(Skip("read-by-others", label))
            continue
        for reader, _ in consumers:
            v, sign = fold_affine(parameter(reader, "v"), parameter(reader, "sign"), affine.s, affine.b)
            set_parameter(reader, graph, "v", v)
            set_parameter(reader, graph, "sign", sign)
            reader.inputs[0] = affine.x
            result.rewritten.append(Rewrite(f"{affine.kind}-before", graph.label(reader)))
    return result


FOLD_BEFORE = Pass(
    name="fold-before",
    requires="endpoints ascending, NaN last",
    ensures="no batch norm or per-channel constant is read by PABitConv alone",
    run=_run,
    absorbs=("bn-before", "affine-before"),
)

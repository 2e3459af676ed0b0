"""Batch norm (and per-channel constants) in front of PABitConv goes into its endpoints.

paconv.passes.fold.endpoints says how. Only where every reader is a PABitConv: otherwise the batch norm has to be
computed anyway. The decisions of the folded endpoints equal those of float64 batch norm; a float32 batch norm may
decide otherwise within its own rounding. Folded endpoints are float64 until paconv.passes.fold.narrow rounds them.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.passes.fold.affine import Affine, affine_of
from paconv.passes.fold.endpoints import fold_affine
from paconv.passes.graph.bit_conv import bit_convs, channels_in, parameter, set_parameter
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import producer, readers
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.promises import ENDPOINTS_ASCEND

__all__ = ["FOLD_BEFORE"]


def _before(conv: gs.Node, foldable: set[int], graph: ModelGraph) -> Affine | None:
    """The affine node that `conv` reads, None if there is none. Raises Unsuitable unless `foldable` nodes alone do."""
    X = conv.inputs[0]
    affine = affine_of(producer(X), channels_in(conv), graph)
    if affine is None:
        return None
    if not graph.is_free(X) or any(id(n) not in foldable or i != 0 for n, i in readers(X)):
        raise Unsuitable("read-by-others")
    return affine


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    convs = bit_convs(graph)
    foldable = {id(n) for n in convs}
    for conv in convs:
        try:
            affine = _before(conv, foldable, graph)
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, graph.label(conv)))
            continue
        if affine is None:
            continue
        for reader, _ in readers(conv.inputs[0]):
            v, sign = fold_affine(parameter(reader, "v"), parameter(reader, "sign"), affine.s, affine.b)
            set_parameter(reader, graph, "v", v)
            set_parameter(reader, graph, "sign", sign)
            reader.inputs[0] = affine.x
            result.rewritten.append(Rewrite(f"{affine.kind}-before", graph.label(reader)))
    return result


def _not_folded(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    convs = bit_convs(graph)
    foldable = {id(n) for n in convs}
    for conv in convs:
        try:
            affine = _before(conv, foldable, graph)
        except Unsuitable:
            continue
        if affine is not None:
            yield graph.label(conv), f"the {affine.node.op} '{graph.label(affine.node)}' before it could be folded"


FOLD_BEFORE = Pass(
    name="fold-before",
    requires=(ENDPOINTS_ASCEND,),
    ensures=(
        Promise("no batch norm or per-channel constant is read by PABitConv alone", _not_folded),
        ENDPOINTS_ASCEND,
    ),
    run=_run,
    absorbs=("bn-before", "affine-before"),
)

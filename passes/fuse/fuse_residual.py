"""An Add behind PALevelConv becomes its residual input.

    Add(S, R) = PALevelConv(..., R, ...)        S read by nothing else, R of exactly the same shape

Where both operands come from a PALevelConv, the later one takes the other's result as its residual. R can't depend on
S, which only the Add reads: so the convolution, moved to the Add's place, has all its inputs computed before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.passes.fuse.finishes import WITH_RESIDUAL, has_bounds, has_finish, has_levels, has_residual, input_index
from paconv.passes.fuse.layout import stands_for
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import is_op, producer, readers
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.tidy.remove_dead import REMOVE_DEAD

__all__ = ["FUSE_RESIDUAL"]


def _check(conv: gs.Node, R: gs.Tensor, graph: ModelGraph) -> None:
    """Raise Unsuitable unless `conv` can take R in."""
    S = conv.outputs[0]
    if len(readers(S)) > 1 or has_levels(conv):
        raise Unsuitable("result-read-by-others")
    if has_residual(conv) or has_bounds(conv):
        raise Unsuitable("finish-is-full")
    if not graph.same_shape(S, R):
        raise Unsuitable("residual-of-other-shape")


def _fuse(conv: gs.Node, add: gs.Node, R: gs.Tensor, graph: ModelGraph) -> None:
    result = add.outputs[0]
    graph.move_before(conv, add)
    graph.remove(add)
    conv.inputs[input_index(conv, "R")] = R
    conv.outputs[0] = result
    names = list(conv.attrs["names"])
    names[WITH_RESIDUAL] = stands_for(result.name)
    conv.attrs["names"] = names


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    order = {id(node): k for k, node in enumerate(graph.nodes)}
    for add in list(graph.nodes):
        if not is_op(add, "Add"):
            continue
        pairs = _pairs(add)
        refusals = []
        for conv, R in sorted(pairs, key=lambda pair: -order[id(pair[0])]):
            label = graph.label(conv)
            try:
                _check(conv, R, graph)
            except Unsuitable as refusal:
                refusals.append(Skip(refusal.reason, label))
            else:
                _fuse(conv, add, R, graph)
                result.rewritten.append(Rewrite("residual", label))
                break
        else:
            result.skipped += refusals
    return result


def _pairs(add: gs.Node) -> list[tuple[gs.Node, gs.Tensor]]:
    """(PALevelConv, what is added to its result), both ways round."""
    return [(producer(t), R) for t, R in (add.inputs, add.inputs[::-1]) if _is_result(t)]


def _is_result(tensor: gs.Tensor) -> bool:
    maker = producer(tensor)
    return has_finish(maker) and maker.outputs[0] is tensor


def _not_added(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for add in graph.nodes:
        for conv, R in _pairs(add) if is_op(add, "Add") else ():
            try:
                _check(conv, R, graph)
            except Unsuitable:
                continue
            yield graph.label(conv), f"the Add '{graph.label(add)}' behind it could be its residual"


FUSE_RESIDUAL = Pass(
    name="fuse-residual",
    requires=(
        *REMOVE_DEAD.ensures,  # Transposes among them: readers are real ones
        Promise(
            "level outputs are fused later",
            unseen="a graph that was fused before has them; such convolutions are left alone",
        ),
    ),
    ensures=(
        Promise(
            "no Add of two tensors known to have the same shape is the only reader of a PALevelConv's result, if that "
            "has no residual and no bounds yet",
            _not_added,
        ),
    ),
    run=_run,
    absorbs=("residual",),
)

"""PALevels of a PALevelConv's result become its outputs L1 and L2, and a result that nothing else reads goes.

Readers with the same endpoints and signs share one output. A third distinct comparison of a convolution's result stays
a PALevels node.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.passes.fuse.comparisons import LEVEL_OUTPUTS, comparison_of, comparisons_made
from paconv.passes.fuse.finishes import input_index, with_finish
from paconv.passes.fuse.fuse_clip import FUSE_CLIP
from paconv.passes.fuse.fuse_residual import FUSE_RESIDUAL
from paconv.passes.fuse.share_levels import redirect
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip
from paconv.passes.graph.matching import is_paconv_op, readers
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.tidy.remove_dead import REMOVE_DEAD

__all__ = ["FUSE_LEVELS"]


def _fuse(conv: gs.Node, graph: ModelGraph, result: PassResult) -> None:
    label, Y = graph.label(conv), conv.outputs[0]
    if Y.is_empty():
        return
    taken = comparisons_made(conv)
    for node in [n for n, _ in readers(Y) if is_paconv_op(n, "PALevels")]:
        v, sign = node.inputs[1:]
        key, L = comparison_of(v, sign), node.outputs[0]
        if key is None:
            continue
        free = next((k for k in LEVEL_OUTPUTS if conv.outputs[k].is_empty()), None)
        if key in taken:
            redirect(L, conv.outputs[taken[key]])
            graph.remove(node)
        elif free is not None:
            graph.remove(node)
            taken[key], conv.outputs[free] = free, L
            conv.inputs[input_index(conv, f"v{free}")], conv.inputs[input_index(conv, f"sign{free}")] = v, sign
        else:
            result.skipped.append(Skip("more-than-2-comparisons", label))
            continue
        result.rewritten.append(Rewrite("levels", label))
    if not readers(Y):
        conv.outputs[0] = gs.Variable.empty()
        result.rewritten.append(Rewrite("no-result", label))


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in with_finish(graph):
        _fuse(conv, graph, result)
    return result


def _not_fused(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in with_finish(graph):
        made, free = comparisons_made(conv), any(conv.outputs[k].is_empty() for k in LEVEL_OUTPUTS)
        for node in [] if conv.outputs[0].is_empty() else [n for n, _ in readers(conv.outputs[0])]:
            key = comparison_of(*node.inputs[1:]) if is_paconv_op(node, "PALevels") else None
            if key is not None and (free or key in made):
                yield graph.label(conv), f"the PALevels '{graph.label(node)}' behind it could be an output of its own"


def _not_read(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in with_finish(graph):
        if not conv.outputs[0].is_empty() and not readers(conv.outputs[0]):
            yield graph.label(conv), f"nothing reads its result '{conv.outputs[0].name}'"


FUSE_LEVELS = Pass(
    name="fuse-levels",
    requires=(
        *REMOVE_DEAD.ensures,  # Transposes among them: readers are real ones
        *FUSE_RESIDUAL.ensures,
        *FUSE_CLIP.ensures,
    ),
    ensures=(
        Promise("no PALevelConv with a free level output has a PALevels reader with constant endpoints", _not_fused),
        Promise("no PALevelConv has a result that nothing reads", _not_read),
    ),
    run=_run,
)

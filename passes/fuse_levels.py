"""PALevels of a PALevelConv's result become its outputs L1 and L2, and a result that nothing else reads goes.

Readers with the same endpoints and signs share one output, and equal PALevels of any tensor become one node. A third
distinct comparison of a convolution's result stays a PALevels node.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from paconv.passes.base import Pass, PassResult, Rewrite, Skip
from paconv.passes.graph import ModelGraph
from paconv.passes.level_conv import input_index, level_convs
from paconv.passes.matching import is_paconv_op, readers, static_value

__all__ = ["FUSE_LEVELS"]


def _comparison(v: gs.Tensor, sign: gs.Tensor) -> tuple | None:
    """Equal for equal endpoints and signs; None where they aren't constant."""
    values = static_value(v), static_value(sign)
    return None if any(a is None for a in values) else tuple((a.shape, a.tobytes()) for a in values)


def _share(graph: ModelGraph, result: PassResult) -> None:
    first: dict[tuple, gs.Tensor] = {}
    for node in list(graph.nodes):
        key = _comparison(*node.inputs[1:]) if is_paconv_op(node, "PALevels") else None
        if key is None:
            continue
        kept = first.setdefault((node.inputs[0].name, key), node.outputs[0])
        if kept is not node.outputs[0]:
            _redirect(node.outputs[0], kept)
            result.rewritten.append(Rewrite("shared-levels", graph.label(node)))
            graph.remove(node)


def _redirect(tensor: gs.Tensor, to: gs.Tensor) -> None:
    for reader, index in readers(tensor):
        reader.inputs[index] = to


def _fuse(conv: gs.Node, graph: ModelGraph, result: PassResult) -> None:
    label, Y = graph.label(conv), conv.outputs[0]
    if Y.is_empty():
        return
    taken = {
        _comparison(*(conv.inputs[input_index(f"{name}{k}")] for name in ("v", "sign"))): k
        for k in (1, 2)
        if not conv.outputs[k].is_empty()
    }
    for node in [n for n, _ in readers(Y) if is_paconv_op(n, "PALevels")]:
        v, sign = node.inputs[1:]
        key, L = _comparison(v, sign), node.outputs[0]
        if key is None:
            continue
        free = next((k for k in (1, 2) if conv.outputs[k].is_empty()), None)
        if key in taken:
            _redirect(L, conv.outputs[taken[key]])
            graph.remove(node)
        elif free is not None:
            graph.remove(node)
            taken[key], conv.outputs[free] = free, L
            conv.inputs[input_index(f"v{free}")], conv.inputs[input_index(f"sign{free}")] = v, sign
        else:
            result.skipped.append(Skip("more-than-2-comparisons", label))
            continue
        result.rewritten.append(Rewrite("levels", label))
    if not readers(Y):
        conv.outputs[0] = gs.Variable.empty()
        result.rewritten.append(Rewrite("no-result", label))


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    _share(graph, result)
    for conv in level_convs(graph):
        _fuse(conv, graph, result)
    return result


FUSE_LEVELS = Pass(
    name="fuse-levels",
    requires="dead Transposes are gone, so that readers are real ones; residual and clip are fused",
    ensures="no tensor has two equal PALevels; no PALevelConv with a free level output has a PALevels reader; none has "
    "a result that nothing reads",
    run=_run,
)

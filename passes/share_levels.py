"""Equal PALevels of one tensor become one node."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from paconv.passes.base import Pass, PassResult, Rewrite
from paconv.passes.graph import ModelGraph
from paconv.passes.matching import is_paconv_op, readers, static_value

__all__ = ["SHARE_LEVELS", "comparison", "redirect"]


def comparison(v: gs.Tensor, sign: gs.Tensor) -> tuple | None:
    """Equal for equal endpoints and signs; None where they aren't constant."""
    values = static_value(v), static_value(sign)
    return None if any(a is None for a in values) else tuple((a.shape, a.tobytes()) for a in values)


def redirect(tensor: gs.Tensor, to: gs.Tensor) -> None:
    """Let whatever reads `tensor` read `to`."""
    for reader, index in readers(tensor):
        reader.inputs[index] = to


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    first: dict[tuple, gs.Tensor] = {}
    for node in list(graph.nodes):
        key = comparison(*node.inputs[1:]) if is_paconv_op(node, "PALevels") else None
        if key is None:
            continue
        kept = first.setdefault((node.inputs[0].name, key), node.outputs[0])
        if kept is not node.outputs[0]:
            redirect(node.outputs[0], kept)
            result.rewritten.append(Rewrite("shared-levels", graph.label(node)))
            graph.remove(node)
    return result


SHARE_LEVELS = Pass(
    name="share-levels",
    requires="nothing",
    ensures="no tensor has two equal PALevels",
    run=_run,
)

"""Equal PALevels of one tensor become one node."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from paconv.passes.fuse.comparisons import comparison_of
from paconv.passes.graph.graph_pass import Pass, PassResult, Rewrite
from paconv.passes.graph.matching import is_paconv_op, readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["SHARE_LEVELS", "redirect"]


def redirect(tensor: gs.Tensor, to: gs.Tensor) -> None:
    """Let whatever reads `tensor` read `to`."""
    for reader, index in readers(tensor):
        reader.inputs[index] = to


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    first: dict[tuple, gs.Tensor] = {}
    for node in list(graph.nodes):
        key = comparison_of(*node.inputs[1:]) if is_paconv_op(node, "PALevels") else None
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

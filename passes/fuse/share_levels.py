"""Equal PALevels of one tensor become one node."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.passes.fuse.comparisons import comparison_of
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.matching import is_paconv_op, readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["SHARE_LEVELS", "redirect"]


def redirect(tensor: gs.Tensor, to: gs.Tensor) -> None:
    """Let whatever reads `tensor` read `to`."""
    for reader, index in readers(tensor):
        reader.inputs[index] = to


def _key(node: gs.Node) -> tuple | None:
    """Equal for PALevels that make the same; None for other nodes, and where the comparison isn't constant."""
    compared = comparison_of(*node.inputs[1:]) if is_paconv_op(node, "PALevels") else None
    return None if compared is None else (node.inputs[0].name, compared)


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    first: dict[tuple, gs.Tensor] = {}
    for node in list(graph.nodes):
        key = _key(node)
        if key is None:
            continue
        kept = first.setdefault(key, node.outputs[0])
        if kept is not node.outputs[0]:
            redirect(node.outputs[0], kept)
            result.rewritten.append(Rewrite("shared-levels", graph.label(node)))
            graph.remove(node)
    return result


def _equal(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    seen: set[tuple] = set()
    for node in graph.nodes:
        key = _key(node)
        if key in seen:
            yield graph.label(node), f"it makes levels of '{node.inputs[0].name}' that another PALevels makes too"
        if key is not None:
            seen.add(key)


SHARE_LEVELS = Pass(
    name="share-levels",
    requires=(),
    ensures=(Promise("no tensor has two equal PALevels", _equal),),
    run=_run,
)

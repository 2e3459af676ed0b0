"""Nodes whose results nobody reads go. (Unused initializers and functions go when the graph becomes a model again.)"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.matching import readers
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.promises import IN_ORDER

__all__ = ["REMOVE_DEAD"]


def _is_live(node: gs.Node, graph: ModelGraph) -> bool:
    return any(readers(t) or not graph.is_free(t) for t in node.outputs if not t.is_empty())


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    live = []
    for node in reversed(graph.nodes):
        if _is_live(node, graph):
            live.append(node)
        else:
            result.rewritten.append(Rewrite("dead", graph.label(node)))
            node.inputs.clear()
            node.outputs.clear()
    if len(live) < len(graph.nodes):
        graph.nodes[:] = reversed(live)
    return result


def _dead(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if not _is_live(node, graph):
            yield graph.label(node), f"nothing reads what the {node.op} makes"


REMOVE_DEAD = Pass(
    name="remove-dead",
    requires=(IN_ORDER,),
    ensures=(Promise("every node has a reader, is a graph output or is read in a subgraph", _dead),),
    run=_run,
)

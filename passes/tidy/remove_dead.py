"""Nodes whose results nobody reads go. (Unused initializers and functions go when the graph becomes a model again.)"""

from __future__ import annotations

from paconv.passes.graph.graph_pass import Pass, PassResult, Rewrite
from paconv.passes.graph.matching import readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["REMOVE_DEAD"]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    live = []
    for node in reversed(graph.nodes):
        if any(readers(t) or not graph.is_free(t) for t in node.outputs if not t.is_empty()):
            live.append(node)
        else:
            result.rewritten.append(Rewrite("dead", graph.label(node)))
            node.inputs.clear()
            node.outputs.clear()
    if len(live) < len(graph.nodes):
        graph.nodes[:] = reversed(live)
    return result


REMOVE_DEAD = Pass(
    name="remove-dead",
    requires="nodes in topological order",
    ensures="every node has a reader, is a graph output or is read in a subgraph",
    run=_run,
)

"""Identity, and Dropout outside training, give way to what they read."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.matching import is_op, is_zero, optional_input, readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["DROP_NO_OPS"]


def _is_no_op(node: gs.Node, graph: ModelGraph) -> bool:
    if is_op(node, "Identity"):
        return True
    if not is_op(node, "Dropout"):
        return False
    mask_is_used = any(readers(t) or not graph.is_free(t) for t in node.outputs[1:] if not t.is_empty())
    training = optional_input(node, 2)
    off = training is None or is_zero(training)
    return off and not mask_is_used


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in graph.nodes:
        if not _is_no_op(node, graph) or not graph.is_free(node.outputs[0]):
            continue
        consumers = readers(node.outputs[0])
        for consumer, index in consumers:
            consumer.inputs[index] = node.inputs[0]
        if consumers:
            result.rewritten.append(Rewrite("no-op", graph.label(node)))
    return result


def _still_read(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if _is_no_op(node, graph) and graph.is_free(node.outputs[0]) and readers(node.outputs[0]):
            yield graph.label(node), f"the {node.op} is still read"


DROP_NO_OPS = Pass(
    name="drop-no-ops",
    requires=(),
    ensures=(
        Promise(
            "no node reads an Identity or an inference Dropout, except where its output is a graph output or is read "
            "in a subgraph",
            _still_read,
        ),
    ),
    run=_run,
)

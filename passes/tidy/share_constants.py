"""Equal initializers of paconv nodes become one: the scales of 1 and biases of 0, and what convolutions share."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.ops import DOMAIN
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["SHARE_CONSTANTS"]


def _content(tensor: gs.Constant) -> tuple:
    values = tensor.values
    return values.dtype.str, values.shape, values.tobytes()


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    first: dict[tuple, gs.Constant] = {}
    for node in graph.nodes:
        if node.domain != DOMAIN:
            continue
        for index, tensor in enumerate(node.inputs):
            if not isinstance(tensor, gs.Constant):
                continue
            shared = first.setdefault(_content(tensor), tensor)
            if shared is not tensor:
                node.inputs[index] = shared
                result.rewritten.append(Rewrite("shared-constant", tensor.name))
    return result


def _equal(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    read = {t.name: (node, t) for node in graph.nodes if node.domain == DOMAIN for t in node.inputs}
    constants = [(node, tensor) for node, tensor in read.values() if isinstance(tensor, gs.Constant)]
    first: dict[tuple, gs.Constant] = {}
    for node, tensor in constants:
        other = first.setdefault(_content(tensor), tensor)
        if other is not tensor:
            yield graph.label(node), f"'{tensor.name}' equals '{other.name}'"


SHARE_CONSTANTS = Pass(
    name="share-constants",
    requires=(),
    ensures=(Promise("no two initializers that paconv nodes read have the same type, shape and bytes", _equal),),
    run=_run,
)

"""Equal initializers of paconv nodes become one: the scales of 1 and biases of 0, and what convolutions share."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from paconv.ops import DOMAIN
from paconv.passes.graph.graph_pass import Pass, PassResult, Rewrite
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["SHARE_CONSTANTS"]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    first: dict[tuple, gs.Constant] = {}
    for node in graph.nodes:
        if node.domain != DOMAIN:
            continue
        for index, tensor in enumerate(node.inputs):
            if not isinstance(tensor, gs.Constant):
                continue
            values = tensor.values
            shared = first.setdefault((values.dtype.str, values.shape, values.tobytes()), tensor)
            if shared is not tensor:
                node.inputs[index] = shared
                result.rewritten.append(Rewrite("shared-constant", tensor.name))
    return result


SHARE_CONSTANTS = Pass(
    name="share-constants",
    requires="nothing",
    ensures="no two initializers that paconv nodes read have the same type, shape and bytes",
    run=_run,
)

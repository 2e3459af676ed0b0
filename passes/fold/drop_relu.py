"""Relu and Clip in front of endpoints go where they decide nothing.

Clip to [l, h] (Relu: l = 0, h = +inf) doesn't move x across an endpoint v with l < v <= h:
clip(x) >= v if and only if x >= v. If that holds for every endpoint of everything that reads the Clip, all of it can
read x instead. A NaN endpoint is never reached either way. A NaN x reaches no endpoint without the Clip; ONNX leaves
open what Clip and Relu make of a NaN, so there nothing is promised.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.graph.bit_conv import bit_convs, parameter
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.matching import clip_bounds, is_paconv_op, readers, static_value
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["DROP_RELU"]


def _endpoints(node: gs.Node, known: set[int]) -> np.ndarray | None:
    """Endpoints through which alone `node` sees its input 0, if it compares by x >= v; else None."""
    if id(node) in known:
        return parameter(node, "v") if (parameter(node, "sign") == 1).all() else None
    return static_value(node.inputs[1]) if is_paconv_op(node, "PAActivation") else None


def _readers_without(node: gs.Node, graph: ModelGraph, known: set[int]) -> list[tuple[gs.Node, int]]:
    """Everything that reads a Relu or Clip, if it can do without; else none."""
    bounds = clip_bounds(node)
    if bounds is None or not graph.is_free(node.outputs[0]):
        return []
    consumers = readers(node.outputs[0])
    endpoints = [v for n, i in consumers if i == 0 and (v := _endpoints(n, known)) is not None]
    if len(endpoints) < len(consumers):
        return []
    low, high = bounds
    return consumers if all((np.isnan(v) | ((v > low) & (v <= high))).all() for v in endpoints) else []


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    known = {id(n) for n in bit_convs(graph)}
    for node in graph.nodes:
        for consumer, index in _readers_without(node, graph, known):
            consumer.inputs[index] = node.inputs[0]
            result.rewritten.append(Rewrite("relu", graph.label(consumer)))
    return result


def _decides_nothing(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    known = {id(n) for n in bit_convs(graph)}
    for node in graph.nodes:
        if _readers_without(node, graph, known):
            yield graph.label(node), f"the {node.op} is read by endpoints that lie between its bounds"


DROP_RELU = Pass(
    name="drop-relu",
    requires=(),
    ensures=(
        Promise(
            "no Relu or Clip is read by endpoints alone that all lie above its lower and up to its upper bound",
            _decides_nothing,
        ),
    ),
    run=_run,
    absorbs=("relu",),
)

"""Promises about a graph that several passes rely on and none of them makes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from paconv.passes.graph.bit_conv import bit_convs, parameter
from paconv.passes.graph.graph_pass import Promise
from paconv.passes.graph.matching import producer
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["ENDPOINTS_ASCEND", "IN_ORDER"]


def _read_too_early(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    made: set[int] = set()
    for node in graph.nodes:
        for tensor in node.inputs:
            if producer(tensor) is not None and id(producer(tensor)) not in made:
                yield graph.label(node), f"it reads '{tensor.name}' before that is made"
        made.add(id(node))


def _not_ascending(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in bit_convs(graph):
        v = parameter(conv, "v")
        if not np.array_equal(v, np.sort(v, axis=1), equal_nan=True):  # sorts NaN last
            yield graph.label(conv), f"its endpoints {v.tolist()} don't ascend, NaN last"


IN_ORDER = Promise("nodes are in topological order", _read_too_early)

ENDPOINTS_ASCEND = Promise("endpoints of PABitConv ascend, NaN last", _not_ascending)

"""Names in a graph that nothing else has: of whatever is new, and of every node."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from paconv.onnx_file.graph_view import inner_nodes

__all__ = ["name_nodes", "unique"]


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name`_1, _2, ... where that is taken; the result is taken then."""
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    taken.add(candidate)
    return candidate


def name_nodes(model: onnx.ModelProto) -> None:
    """Name each node of `model`, subgraphs and functions included, in place: as it is, or else as its first output.

    No two nodes of the graph have one name, nor two of a function; of several the first keeps it.
    """
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        _name(nodes)


def _name(nodes: Iterable[onnx.NodeProto]) -> None:
    """Name these nodes, and those of their subgraphs."""
    taken: set[str] = set()
    others = []
    for node in [*nodes, *inner_nodes(nodes)]:
        if node.name and node.name not in taken:
            taken.add(node.name)
        else:
            others.append(node)
    for node in others:
        output = next(filter(None, node.output), node.op_type)
        node.name = unique(output, taken)

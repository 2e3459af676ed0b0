"""Names in a graph that nothing else has: of whatever is new, and of every node."""

from __future__ import annotations

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


def name_nodes(graph: onnx.GraphProto) -> None:
    """Name each node of `graph` and of its subgraphs as no other, in place: as it is, or else as its first output.

    Of several nodes of one name the first keeps it.
    """
    taken: set[str] = set()
    others = []
    for node in [*graph.node, *inner_nodes(graph.node)]:
        if node.name and node.name not in taken:
            taken.add(node.name)
        else:
            others.append(node)
    for node in others:
        output = next(filter(None, node.output), node.op_type)
        node.name = unique(output, taken)

"""Elementwise ops and moves of data work channel-last where their inputs are: Transposes sink below them.

    f(a, b, ...) = (f'(a^T, b^T, ...))^T

with ^T a permutation of the axes; f' = f for what works on each element of (B, C, H, W), broadcasting included, and f
with its axes renamed for a move (paconv.passes.fuse.moves).

An input is available channel-last if one of our Transposes makes it, or if what stands for it exists anyway. One that
exists channel-first only gets a Transpose of its own if there are not more of these than Transposes that sink, so that
their number doesn't grow; at least one has to sink. A move can make more data than it reads, and several results of
one: it stays, unless it is a Concat, where nothing behind it works channel-last.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.passes.fuse.layout import (
    channel_last,
    has_layout,
    is_to_channel_first,
    is_to_channel_last,
    make_result_channel_last,
    new_channel_last,
    twin,
)
from paconv.passes.fuse.moves import Move, move_from, turn_to_last
from paconv.passes.graph.depthwise import is_depthwise
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip
from paconv.passes.graph.matching import data_inputs, is_op, producer, readers
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.promises import IN_ORDER

__all__ = ["SINK_TRANSPOSES", "wanted_channel_last"]


def _can_be_transposed(tensor: gs.Tensor) -> bool:
    return producer(tensor) is not None and tensor.shape is not None and len(tensor.shape) == 4


def _works_channel_last(node: gs.Node) -> bool:
    """Whether the node is an elementwise op of tensors that exist channel-last or can."""
    data = [node.inputs[k] for k in data_inputs(node)]
    return bool(data) and all(map(has_layout, data))


def wanted_channel_last(graph: ModelGraph) -> set[int]:
    """ids of the nodes that something reads channel-last, at once or over such nodes, MaxPool and depthwise Conv."""
    found: set[int] = set()
    for node in reversed(graph.nodes):
        move = move_from(node, graph)
        if move is None and not _works_channel_last(node) and not is_op(node, "MaxPool") and not is_depthwise(node):
            continue
        outputs = node.outputs if move is None else move.outputs
        behind = [reader for tensor in outputs for reader, _ in readers(tensor)]
        if any(is_to_channel_last(reader) or id(reader) in found for reader in behind):
            found.add(id(node))
    return found


def _sink(nodes: tuple[gs.Node, ...], move: Move | None, graph: ModelGraph) -> None:
    first, last = nodes[0], nodes[-1]
    indexes = data_inputs(first) if move is None else range(len(move.inputs))
    for k in indexes:
        first.inputs[k] = channel_last(first.inputs[k], graph)
    if move is not None:
        turn_to_last(move, graph)
        for node, behind in zip(nodes, nodes[1:], strict=False):
            node.outputs[0] = behind.inputs[0] = new_channel_last(node.outputs[0], graph)
    for k in range(len(last.outputs)):
        make_result_channel_last(last, graph, k)


def _flowing_in(node: gs.Node, move: Move | None) -> list[gs.Tensor]:
    return [node.inputs[k] for k in data_inputs(node)] if move is None else move.inputs


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    wanted = wanted_channel_last(graph)
    for node in list(graph.nodes):
        move = move_from(node, graph)
        inputs = _flowing_in(node, move)
        sinking = sum(is_to_channel_first(producer(tensor)) for tensor in inputs)
        if not sinking:
            continue
        lacking = [tensor for tensor in inputs if twin(tensor) is None]
        if len(lacking) > sinking or not all(map(_can_be_transposed, lacking)):
            result.skipped.append(Skip("beside-channel-first", graph.label(node)))
        elif move is not None and not is_op(node, "Concat") and id(node) not in wanted:
            result.skipped.append(Skip("moved-for-channel-first", graph.label(node)))
        else:
            _sink((node,) if move is None else move.nodes, move, graph)
            result.rewritten.append(Rewrite("channel-last", graph.label(node)))
    return result


def _not_sunk(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        for tensor in _flowing_in(node, move_from(node, graph)):
            if is_to_channel_first(producer(tensor)):
                yield graph.label(node), f"the {node.op} reads '{tensor.name}', which exists channel-last"


SINK_TRANSPOSES = Pass(
    name="sink-transposes",
    requires=(IN_ORDER,),
    ensures=(
        Promise(
            "no elementwise op or move of data reads a Transpose of ours, unless more of its inputs exist "
            "channel-first only, or it is a move with nothing behind it that works channel-last",
            _not_sunk,
            but_skipped=True,
        ),
    ),
    run=_run,
)

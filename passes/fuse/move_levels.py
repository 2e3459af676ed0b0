"""Moves of data between PALevelConv and PALevels work on level indexes, a byte each.

    PALevels(move(X); v, sign) = move(PALevels(X; v', sign'))

A level is a function of one value, so it commutes with whatever only moves values. (v', sign')_c is the comparison of
the channel that channel c goes to; of all of them, where these are the same. What goes nowhere is compared with NaN,
and has level 0. A Pad adds the level of zero, if that is the same in all channels.

Comparisons of one result in several ways are several moves, of a byte each instead of four. Results of a Split that
are compared once each share one move. Rows of fewer endpoints than others are filled up with NaN.

A move stays one of floats where a tensor that it reads would be compared in more ways than the two that a PALevelConv
makes levels for. Where many layers read what all those before them made, each in its own way, as in a DenseNet, every
result would be compared, and its levels moved, once for each later layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fold.endpoints import in_fewest_rows
from paconv.passes.fuse.comparisons import LEVEL_OUTPUTS, comparison, comparison_of, comparisons_made
from paconv.passes.fuse.layout import is_to_channel_last, new_levels, stands_for
from paconv.passes.fuse.moves import MOVES, Move, data_of, pads_zero, sources
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import constant_value, is_op, is_paconv_op, producer, readers, static_value
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["MOVE_LEVELS"]

Comparison = tuple[np.ndarray, np.ndarray]
"""v (1 or C, E) float32 and sign (1 or C,) int8."""


def _move_to(node: gs.Node) -> Move | None:
    """The channel-last move that ends with `node` before a PALevels; None if there is none."""
    if not is_op(node, *MOVES) or is_to_channel_last(node):
        return None
    if not any(is_paconv_op(n, "PALevels") for t in node.outputs for n, _ in readers(t)):
        return None
    nodes = [node]
    while len(data_of(nodes[0])[0].shape or ()) == 5:
        nodes.insert(0, producer(nodes[0].inputs[0]))
    return Move(tuple(nodes))


def _comparisons(move: Move, graph: ModelGraph) -> list[list[gs.Node]]:
    """The PALevels that read each output. Raises Unsuitable if something else does."""
    found = []
    for tensor in move.outputs:
        levels = [n for n, _ in readers(tensor)]
        if not all(is_paconv_op(n, "PALevels") for n in levels) or not graph.is_free(tensor):
            raise Unsuitable("moved-read-by-others")
        if any(static_value(t) is None for n in levels for t in n.inputs[1:]):
            raise Unsuitable("moved-read-by-others")
        found.append(levels)
    return found


def _before(move: Move, behind: list[Comparison | None]) -> list[Comparison]:
    """The comparison of each input that takes the place of those of the outputs, None for an output without one."""
    given = [c for c in behind if c is not None]
    if all(_same(c, given[0]) and len(c[0]) == len(c[1]) == 1 for c in given):
        return [given[0]] * len(move.inputs)
    channels = [_channels(t) for t in move.inputs]
    maps = _whole(move, channels)
    v = np.full((sum(channels), max(c[0].shape[1] for c in given)), np.nan, np.float32)
    sign = np.ones(len(v), np.int8)
    taken = np.zeros(len(v), bool)
    for compared, origins in zip(behind, maps, strict=True):
        if compared is None:
            continue
        rows, signs = (np.broadcast_to(a, (origins.shape[1], *a.shape[1:])) for a in compared)
        for origin in origins:
            wide = np.full((len(rows), v.shape[1]), np.nan, np.float32)
            wide[:, : rows.shape[1]] = rows
            again = taken[origin]
            if not _same((v[origin][again], sign[origin][again]), (wide[again], signs[again])):
                raise Unsuitable("comparisons-differ")
            v[origin], sign[origin], taken[origin] = wide, signs, True
    ends = np.cumsum(channels)[:-1]
    return [in_fewest_rows(*each) for each in zip(np.split(v, ends), np.split(sign, ends), strict=True)]


def _same(a: Comparison, b: Comparison) -> bool:
    return np.array_equal(a[0], b[0], equal_nan=True) and np.array_equal(a[1], b[1])


def _channels(tensor: gs.Tensor) -> int:
    if tensor.shape is None or not isinstance(tensor.shape[-1], int):
        raise Unsuitable("channels-not-known")
    return tensor.shape[-1]


def _whole(move: Move, channels: list[int]) -> list[np.ndarray]:
    """`sources` of all the nodes together."""
    maps = sources(move.nodes[0], channels)
    for node in move.nodes[1:]:
        (within,), (before,) = sources(node, [maps[0].shape[1]]), maps
        maps = [before[:, within[0]]]
    return maps


def _check_pad(move: Move, behind: list[Comparison | None]) -> np.ndarray | None:
    """What a Pad adds as a level, None if it adds none. Raises Unsuitable if it is no level."""
    (pad,) = move.nodes
    if pad.attrs.get("mode", "constant") != "constant":
        return None
    ((v, sign),) = (c for c in behind if c is not None)
    levels = np.unique((np.float32(0) * sign[:, None] >= v).sum(1))
    if not pads_zero(pad) or len(levels) > 1:
        raise Unsuitable("pad-of-no-level")
    return levels[0].astype(np.uint8)


@dataclass(frozen=True)
class _Plan:
    """A move of level indexes to come: the PALevels that give way to it, at most one of each output; the comparison of
    each input; what a Pad adds.
    """

    levels: tuple[gs.Node | None, ...]
    before: list[Comparison]
    filling: np.ndarray | None


def _plan(move: Move, levels: tuple[gs.Node | None, ...]) -> _Plan:
    behind = [None if n is None else (constant_value(n.inputs[1]), constant_value(n.inputs[2])) for n in levels]
    filling = _check_pad(move, behind) if is_op(move.nodes[0], "Pad") else None
    return _Plan(levels, _before(move, behind), filling)


def _check_number(move: Move, plans: list[_Plan]) -> None:
    """Raises Unsuitable if a moved tensor would be compared in more ways than a convolution makes levels for."""
    for k, tensor in enumerate(move.inputs):
        ways = {comparison_of(*n.inputs[1:]) for n, _ in readers(tensor) if is_paconv_op(n, "PALevels")}
        ways |= comparisons_made(producer(tensor)).keys()
        if len(ways | {comparison(*plan.before[k]) for plan in plans}) > len(LEVEL_OUTPUTS):
            raise Unsuitable("moved-compared-often")


def _new_levels(tensor: gs.Tensor, graph: ModelGraph) -> gs.Variable:
    """A new tensor for level indexes of what the channel-last `tensor` stands for."""
    name = stands_for(tensor.name)
    assert name is not None  # fusing names all the tensors that lead to a PALevels
    return new_levels(name, tensor.shape, graph)


def _rewrite(move: Move, plan: _Plan, graph: ModelGraph, named: bool) -> None:
    """Put the move that is planned before `move`; named: with the names of its nodes, which are one's only."""
    label, start = graph.label(move.nodes[-1]), move.nodes[0]
    like = next(n for n in plan.levels if n is not None)
    read = []
    for X, (v, sign) in zip(move.inputs, plan.before, strict=True):
        L = _new_levels(X, graph)
        endpoints = [graph.constant(v, f"{label}.v"), graph.constant(sign, f"{label}.sign")]
        levels = gs.Node(like.op, attrs=dict(like.attrs), inputs=[X, *endpoints], outputs=[L], domain=like.domain)
        graph.insert_before(start, levels)
        read.append(L)
    made = [[_new_levels(tensor, graph)] for tensor in move.between]
    made.append(
        [
            _new_levels(tensor, graph) if node is None else node.outputs[0]
            for node, tensor in zip(plan.levels, move.outputs, strict=True)
        ]
    )
    for node in plan.levels:
        if node is not None:
            graph.remove(node)
    for node, results in zip(move.nodes, made, strict=True):
        inputs = [*read, *node.inputs[len(data_of(node)) :]]
        if plan.filling is not None:
            inputs[2:3] = [graph.constant(plan.filling, f"{label}.level")]
        moved = gs.Node(node.op, node.name if named else "", dict(node.attrs), inputs, results, domain=node.domain)
        graph.insert_before(start, moved)
        read = results


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in reversed(list(graph.nodes)):
        move = _move_to(node)
        if move is None:
            continue
        label = graph.label(move.nodes[0])
        try:
            plans = [_plan(move, levels) for levels in zip_longest(*_comparisons(move, graph))]
            _check_number(move, plans)
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
            continue
        for k, plan in enumerate(plans):
            _rewrite(move, plan, graph, named=k == 0)
        for each in reversed(move.nodes):
            graph.remove(each)
        result.rewritten.append(Rewrite("moved", label))
    return result


def _moves_values(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for move in filter(None, map(_move_to, graph.nodes)):
        try:
            _comparisons(move, graph)
        except Unsuitable:
            continue
        yield graph.label(move.nodes[0]), f"the {move.nodes[0].op} is read by comparisons alone"


MOVE_LEVELS = Pass(
    name="move-levels",
    requires=(),  # where a dead node reads what is moved, the move waits for the next round
    ensures=(
        Promise(
            "no move of fused tensors is read by comparisons alone, unless it would add a third way to compare one",
            _moves_values,
            but_skipped=True,
        ),
    ),
    run=_run,
)

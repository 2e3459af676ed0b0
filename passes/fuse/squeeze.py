"""Means over rows and columns, channel-last: a product with a row of 1 / (H W).

    m = mean of X over rows and columns   becomes   m^T = MatMul(row, Reshape(X^T; B, 1, H W, C)),   m = (m^T)^T

row (1, H W), m^T (B, 1, 1, C), and ^T as in paconv.passes.fuse.link_convs. A mean is a GlobalAveragePool, or a
ReduceMean of axes 2 and 3 that keeps them. The sum is in another order, so results differ by rounding. onnxruntime's
ReduceMean of rows and columns of a channel-last tensor takes five times as long.

Only where something else reads X^T: as in squeeze-and-excitation, where a product of X and what becomes of m does. A
Transpose for the mean alone costs as little as this. The name of the Reshape's result says which op it was, for the way
back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fuse.layout import is_to_channel_first, make_result_channel_last, stands_for
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import is_op, optional_input, producer, readers, static_value
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.promises import IN_ORDER

__all__ = ["SQUEEZE", "ChannelLastMean", "back_to_mean", "channel_last_mean"]

_ROWS_NAME = re.compile(r".+\.(GlobalAveragePool|ReduceMean)(\.\d+)?", re.DOTALL)

_AXES_ARE_AN_INPUT = 18
"""Since this opset ReduceMean reads them."""


@dataclass(frozen=True)
class ChannelLastMean:
    """A mean as this pass writes it, but for its Reshape."""

    product: gs.Node
    """The MatMul."""
    of: str
    """Name of the channel-first result."""
    op: str
    """What it was."""


def channel_last_mean(node: gs.Node) -> ChannelLastMean | None:
    """The mean whose Reshape `node` is; None if it is none."""
    found = _ROWS_NAME.fullmatch(node.outputs[0].name) if is_op(node, "Reshape") else None
    behind = readers(node.outputs[0]) if found else []
    if found is None or len(behind) != 1 or not is_op(behind[0][0], "MatMul") or behind[0][1] != 1:
        return None
    product = behind[0][0]
    name = stands_for(product.outputs[0].name)
    return None if name is None else ChannelLastMean(product, name, found.group(1))


def back_to_mean(mean: ChannelLastMean, X: gs.Tensor, result: gs.Tensor, graph: ModelGraph) -> None:
    """Make the MatMul the op that it was, of the channel-first X."""
    node = mean.product
    node.op, node.inputs, node.outputs, node.attrs = mean.op, [X], [result], {}
    if mean.op == "ReduceMean":
        node.attrs["keepdims"] = 1
        if graph.opset < _AXES_ARE_AN_INPUT:
            node.attrs["axes"] = [2, 3]
        else:
            node.inputs.append(graph.constant(np.array([2, 3], np.int64), f"{graph.label(node)}.axes"))


def _is_mean(node: gs.Node) -> bool:
    if is_op(node, "GlobalAveragePool"):
        return True
    if not is_op(node, "ReduceMean") or node.attrs.get("keepdims", 1) != 1:
        return False
    given = optional_input(node, 1)
    axes = node.attrs.get("axes") if given is None else static_value(given)
    return axes is not None and sorted(int(axis) % 4 for axis in axes) == [2, 3]


def _read_channel_last(node: gs.Node) -> tuple[gs.Tensor, list[int]] | None:
    """X^T (B, H, W, C) and [H, W, C] of a mean to rewrite; None for another node. Raises Unsuitable for free sizes."""
    back = producer(node.inputs[0]) if _is_mean(node) else None
    if not is_to_channel_first(back):
        return None
    X = back.inputs[0]
    if all(reader is back for reader, _ in readers(X)):
        return None
    sizes = (X.shape or [None])[1:]
    if not sizes or not all(isinstance(size, int) for size in sizes):
        raise Unsuitable("mean-of-free-size")
    return X, sizes


def _rewrite(node: gs.Node, X: gs.Tensor, sizes: list[int], graph: ModelGraph) -> None:
    label, result = graph.label(node), node.outputs[0]
    H, W, C = sizes
    rows = graph.variable(f"{result.name}.{node.op}", np.float32, [X.shape[0], 1, H * W, C])
    shape = graph.constant(np.array([0, 1, H * W, C], np.int64), f"{label}.shape")
    graph.insert_before(node, gs.Node("Reshape", inputs=[X, shape], outputs=[rows], domain=""))
    row = graph.constant(np.full((1, H * W), 1 / (H * W), np.float32), f"{label}.row")
    node.op, node.name, node.inputs, node.attrs = "MatMul", label, [row, rows], {}
    make_result_channel_last(node, graph)


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in list(graph.nodes):
        try:
            found = _read_channel_last(node)
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, graph.label(node)))
            continue
        if found is not None:
            _rewrite(node, *found, graph)
            result.rewritten.append(Rewrite("mean", graph.label(node)))
    return result


def _still_channel_first(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        try:
            found = _read_channel_last(node)
        except Unsuitable:
            continue
        if found is not None:
            yield graph.label(node), f"it is a mean of '{node.inputs[0].name}', which others read channel-last"


SQUEEZE = Pass(
    name="channel-last-means",
    requires=(IN_ORDER,),
    ensures=(
        Promise(
            "no mean over known rows and columns reads a Transpose of ours of what something else reads channel-last",
            _still_channel_first,
        ),
    ),
    run=_run,
)

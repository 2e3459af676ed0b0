"""Which tensors hold no negative number: what a ReLU left, and what is made from such tensors or has no sign.

More than what paconv.nn.rectified finds, whose zeros stand for negative values: sigmoid, softmax, softplus, abs, exp
and clamps from 0 on give such tensors; sums, products, quotients, means and paddings of them are such tensors again,
and so is what moves, joins, pools or resizes them. Nothing else is: not a batch norm, not a difference. Found in a
graph of torch.fx or in a forward, as there.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from paconv.nn.rectified import ATEN_KEEPING, WatchedTensors, clamps_from, is_relu, keeps_kind, lower_limit

__all__ = ["NonNegativeTensors", "nonnegative_nodes"]

_MODULES = (nn.Sigmoid, nn.Hardsigmoid, nn.Softmax, nn.Softmax2d, nn.Softplus)
_FUNCTIONS = {
    *(torch.sigmoid, torch.sigmoid_, F.sigmoid, F.hardsigmoid, F.softmax, torch.softmax, F.softplus),
    *(torch.abs, torch.square, torch.exp, operator.abs),
    *("sigmoid", "sigmoid_", "softmax", "abs", "square", "exp"),
}
_ARITHMETIC = {
    *(operator.add, operator.iadd, operator.mul, operator.imul, operator.truediv, operator.itruediv),
    *(torch.add, torch.mul, torch.multiply, torch.div, "add", "add_", "mul", "mul_", "div", "div_"),
}
_KEEPING_MODULES = (nn.ZeroPad2d, nn.PixelShuffle, nn.ChannelShuffle, nn.UpsamplingNearest2d)
_KEEPING = {
    *(torch.mean, torch.sum, F.pixel_shuffle, F.channel_shuffle, torch.squeeze, torch.unsqueeze),
    *("mean", "sum", "squeeze", "unsqueeze", "expand", "detach", "clone"),
}
_RESIZES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "area")

_ATEN = torch.ops.aten
_ATEN_MADE = {
    *(_ATEN.sigmoid, _ATEN.sigmoid_, _ATEN.hardsigmoid, _ATEN.hardsigmoid_, _ATEN._softmax, _ATEN.softplus),
    *(_ATEN.abs, _ATEN.exp),
}
_ATEN_ARITHMETIC = {_ATEN.add, _ATEN.add_, _ATEN.mul, _ATEN.mul_, _ATEN.div, _ATEN.div_}
_ATEN_KEEPING = ATEN_KEEPING | {
    *(_ATEN.mean, _ATEN.sum, _ATEN.upsample_nearest2d, _ATEN.upsample_bilinear2d, _ATEN._adaptive_avg_pool2d),
    *(_ATEN.expand, _ATEN.squeeze, _ATEN.unsqueeze, _ATEN.pixel_shuffle, _ATEN.detach, _ATEN.select),
}


def nonnegative_nodes(graph: fx.Graph, modules: dict[str, nn.Module], rectified: set[fx.Node]) -> set[fx.Node]:
    """The nodes of `graph`, a trace of the network with these `modules`, whose value holds no negative number; the
    `rectified` ones (paconv.nn.rectified) among them.
    """
    found: set[fx.Node] = set()
    for node in graph.nodes:
        operation = modules[str(node.target)] if node.op == "call_module" else node.target
        of_these = bool(node.all_input_nodes) and found.issuperset(node.all_input_nodes)
        if node in rectified or _makes(operation, node) or (of_these and _keeps(operation, node)):
            found.add(node)
    return found


def _makes(operation: object, node: fx.Node) -> bool:
    if node.op not in ("call_module", "call_function", "call_method"):
        return False
    if isinstance(operation, nn.Module):
        return isinstance(operation, _MODULES)
    lowest = lower_limit(operation, node)
    return operation in _FUNCTIONS or (isinstance(lowest, (int, float)) and lowest >= 0)


def _keeps(operation: object, node: fx.Node) -> bool:
    if isinstance(operation, nn.Module):
        resizes = isinstance(operation, nn.Upsample) and operation.mode in _RESIZES
        return resizes or isinstance(operation, _KEEPING_MODULES) or keeps_kind(operation)
    if operation in _ARITHMETIC:
        given = (*node.args, *node.kwargs.values())
        return all(_not_below_0(value) for value in given if not isinstance(value, fx.Node))
    if operation is F.interpolate:
        return node.kwargs.get("mode", "nearest" if len(node.args) < 4 else node.args[3]) in _RESIZES
    if operation is F.pad:
        mode, value = (node.args[k] if len(node.args) > k else None for k in (2, 3))
        mode, value = node.kwargs.get("mode", mode), node.kwargs.get("value", value)
        return mode not in (None, "constant") or value is None or _not_below_0(value)
    return operation in _KEEPING or keeps_kind(operation)


def _not_below_0(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and value >= 0)


class NonNegativeTensors(WatchedTensors):
    """`tensor in watch` tells whether it holds no negative number, by how it was made."""

    def holds(self, packet: object, args: tuple, read: list[Tensor]) -> bool:
        if is_relu(packet) or packet in _ATEN_MADE:
            return True
        lowest = clamps_from(packet, args)
        if lowest is not None:
            return lowest >= 0
        of_these = bool(read) and all(x in self for x in read)
        if packet in _ATEN_ARITHMETIC:
            return of_these and all(_not_below_0(value) for value in args if not isinstance(value, Tensor))
        if packet is _ATEN.constant_pad_nd:
            return of_these and (len(args) < 3 or _not_below_0(args[2]))
        return of_these and packet in _ATEN_KEEPING

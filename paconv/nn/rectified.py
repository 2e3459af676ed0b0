"""Which tensors hold what a ReLU left: the ones whose exact zeros stand for negative values.

A clamp at 0 from below gives such a tensor: relu, relu6, clamp(min=0), hardtanh(0, ...). Some operations keep it
one, if every tensor that they read is one: what moves, joins, pools (a maximum or a mean of zeros and positive values
is 0 only where all of them are 0) or drops values, which have no gradient then. Nothing else does: not a batch norm,
not a sum. Found in a graph of torch.fx, where operations are Python's, or in a forward, where they are ATen's.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = [
    "ATEN_KEEPING",
    "RectifiedTensors",
    "WatchedTensors",
    "clamps_from",
    "is_relu",
    "keeps_kind",
    "lower_limit",
    "rectified_nodes",
]

_RELU_MODULES = (nn.ReLU,)
_RELUS = {F.relu, F.relu6, torch.relu, torch.relu_, "relu", "relu_"}
_CLAMP_MODULES = (nn.Hardtanh,)  # nn.ReLU6 is one
_CLAMPS: dict[object, str] = {
    **dict.fromkeys((F.hardtanh, F.hardtanh_), "min_val"),
    **dict.fromkeys((torch.clamp, torch.clamp_, torch.clip, torch.clip_, torch.clamp_min, torch.clamp_min_), "min"),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_"), "min"),
}
"""Operations -> the name of their lower limit, which is their second argument."""

_KEEPING_MODULES = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
)
_KEEPING = {
    *(F.dropout, F.dropout2d, torch.dropout),
    *(F.max_pool2d, F.avg_pool2d, F.adaptive_max_pool2d, F.adaptive_avg_pool2d, torch.max_pool2d),
    *(torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.chunk, torch.split, operator.getitem),
    *("flatten", "reshape", "view", "permute", "transpose", "contiguous", "chunk", "split"),
}
_JOINING = {torch.cat, torch.concat, torch.concatenate}

_ATEN = torch.ops.aten
_ATEN_RELUS = {_ATEN.relu, _ATEN.relu_}
_ATEN_CLAMPS = {_ATEN.hardtanh, _ATEN.hardtanh_, _ATEN.clamp, _ATEN.clamp_, _ATEN.clamp_min, _ATEN.clamp_min_}
ATEN_KEEPING = {
    *(_ATEN.max_pool2d_with_indices, _ATEN.adaptive_max_pool2d, _ATEN.avg_pool2d, _ATEN._adaptive_avg_pool2d),
    *(_ATEN.view, _ATEN._unsafe_view, _ATEN.permute, _ATEN.transpose, _ATEN.slice, _ATEN.split, _ATEN.clone, _ATEN.cat),
}
"""ATen's operations that keep a tensor what it is, if every tensor that they read is one."""


def rectified_nodes(graph: fx.Graph, modules: dict[str, nn.Module]) -> set[fx.Node]:
    """The nodes of `graph`, a trace of the network with these `modules`, whose value is what a ReLU left."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        read = node.all_input_nodes
        operation = modules[node.target] if node.op == "call_module" else node.target
        if operation not in _JOINING:
            read = read[:1]  # further ones are sizes
        if read and (_rectifies(operation, node) or (keeps_kind(operation) and found.issuperset(read))):
            found.add(node)
    return found


def _rectifies(operation: object, node: fx.Node) -> bool:
    if isinstance(operation, nn.Module):
        clamps = isinstance(operation, _CLAMP_MODULES) and operation.min_val == 0
        return clamps or isinstance(operation, _RELU_MODULES)
    lowest = lower_limit(operation, node)
    return operation in _RELUS or (isinstance(lowest, (int, float)) and lowest == 0)


def lower_limit(operation: object, node: fx.Node) -> object:
    """The lower limit of a clamp, None of anything else."""
    if operation not in _CLAMPS:
        return None
    return node.args[1] if len(node.args) > 1 else node.kwargs.get(_CLAMPS[operation])


def keeps_kind(operation: object) -> bool:
    """Whether a node's operation keeps a tensor what it is, if every tensor that it reads is one."""
    if isinstance(operation, nn.Module):
        return isinstance(operation, _KEEPING_MODULES)
    return operation in _KEEPING or operation in _JOINING


def is_relu(packet: object) -> bool:
    """Whether an operation of ATen is a ReLU."""
    return packet in _ATEN_RELUS


def clamps_from(packet: object, args: tuple) -> float | None:
    """The lower limit of a clamp of ATen, None of anything else or where there is no limit."""
    lowest = args[1] if packet in _ATEN_CLAMPS and len(args) > 1 else None
    return lowest if isinstance(lowest, (int, float)) else None


class WatchedTensors(TorchDispatchMode):
    """Watches the forward that runs within it: `tensor in watch` tells whether that tensor is of the kind that `holds`
    is about.
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[int, Tensor] = {}  # by id; kept alive, so that no two tensors have one id

    def __contains__(self, x: Tensor) -> bool:
        return id(x) in self._found

    def holds(self, packet: object, args: tuple, read: list[Tensor]) -> bool:
        """Whether what the operation `packet` makes of `args`, the tensors `read` among them, is of this kind."""
        raise NotImplementedError

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        read = [x for x in tree_leaves(args) if isinstance(x, Tensor)]
        holds = self.holds(operation.overloadpacket, args, read)
        made = operation(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if holds:
                self._found[id(x)] = x
            else:
                self._found.pop(id(x), None)  # changed in place
        return made


class RectifiedTensors(WatchedTensors):
    """`tensor in watch` tells whether a ReLU left that tensor."""

    def holds(self, packet: object, args: tuple, read: list[Tensor]) -> bool:
        if packet in _ATEN_CLAMPS:
            return clamps_from(packet, args) == 0
        return is_relu(packet) or (packet in ATEN_KEEPING and all(x in self for x in read))

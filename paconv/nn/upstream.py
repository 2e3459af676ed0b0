"""Which layers with weights a tensor comes from, and by that the heads of a network.

    last(x)      the layers from which x is reached without another one between
    before(x)    those before them
    a layer l:          last(l(x)) = {l}                 before(l(x)) = last(x) + before(x)
    anything else:      the unions of what it reads

The heads are last(y) of the model's outputs y. In a sum or a concatenation, an operand with last(a) in before(b) of
another operand is the shortcut around b's layers: they come last, and a is left out. Otherwise every residual block of
a network without a head, whose stream runs to the output, would end in one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["Upstream", "UpstreamTensors", "heads_of_graph"]

_ATEN = torch.ops.aten
_JOINS = {
    *(operator.add, operator.iadd, torch.add, "add", "add_", torch.cat, torch.concat, torch.concatenate),
    *(_ATEN.add, _ATEN.add_, _ATEN.cat),
}


@dataclass(frozen=True)
class Upstream:
    """Names of layers."""

    last: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()

    def through(self, layer: str) -> Upstream:
        """Of what `layer` makes of it."""
        return Upstream(frozenset({layer}), self.last | self.before)


def _joined(operation: object, parts: list[Upstream]) -> Upstream:
    before = frozenset().union(*(part.before for part in parts))
    if operation in _JOINS:
        parts = [a for a in parts if not (a.last and any(b is not a and a.last <= b.before for b in parts))]
    return Upstream(frozenset().union(*(part.last for part in parts)), before)


def heads_of_graph(graph: fx.Graph, layer_of: Callable[[fx.Node], str | None]) -> frozenset[str]:
    """The heads; layer_of: the name of the layer with weights that a node runs, None for any other node."""
    known: dict[fx.Node, Upstream] = {}
    for node in graph.nodes:
        read = [known[n] for n in node.all_input_nodes]
        layer = layer_of(node)
        found = Upstream() if _is_size(node) else _joined(node.target, read)
        known[node] = found if layer is None else found.through(layer)
        if node.op == "output":
            return known[node].last
    return frozenset()


def _is_size(node: fx.Node) -> bool:
    """Whether a node tells the size of what it reads, and nothing of its values."""
    attribute = node.target is getattr and node.args[1:] in (("shape",), ("ndim",), ("dtype",), ("device",))
    return attribute or (node.op == "call_method" and node.target in ("size", "dim", "numel"))


class UpstreamTensors(TorchDispatchMode):
    """Watches the forward that runs within it. `ran` has to be called with what each layer reads and makes."""

    def __init__(self) -> None:
        super().__init__()
        self._known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def ran(self, layer: str, x: Tensor, y: Tensor) -> None:
        """The layer made y of x."""
        self._known[y] = self._known.get(x, Upstream()).through(layer)

    def heads(self, outputs: object) -> frozenset[str]:
        """The heads, from the model's outputs."""
        tensors: Iterable[Tensor] = (x for x in tree_leaves(outputs) if isinstance(x, Tensor))
        return frozenset().union(*(self._known.get(x, Upstream()).last for x in tensors))

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        found = _joined(operation.overloadpacket, [self._known[x] for x in read if x in self._known])
        made = operation(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if isinstance(x, Tensor):
                self._known[x] = found
        return made

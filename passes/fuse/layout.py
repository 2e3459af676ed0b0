"""Channel-last twins of tensors: their names, and the Transposes from and to channel-first.

The float tensor (B, H, W, C) that stands for the tensor t (B, C, H, W) is called "t.channel_last", or
"t.channel_last.1", .2, ... where that name is taken. So its name says what it stands for (whatever t itself is called:
only the last suffix counts), and a Transpose is one of ours if and only if one of its two tensors stands for the other.
A model's own Transposes stay where they are. Level indexes of t, channel-last too, are called "t.levels" likewise.

Rank 5 is that of tensors within a channel shuffle: (B, g, c, H, W), channel-last (B, H, W, g, c).
"""

from __future__ import annotations

import re
from typing import TypeGuard

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.graph.matching import is_op, producer, readers, static_value
from paconv.passes.graph.model_graph import ModelGraph

__all__ = [
    "channel_last",
    "has_layout",
    "is_to_channel_first",
    "is_to_channel_last",
    "levels_of",
    "make_result_channel_last",
    "new_channel_last",
    "new_levels",
    "permuted",
    "stands_for",
    "to_channel_first",
    "to_channel_last",
    "twin",
]

_CHANNEL_LAST_NAME = re.compile(r"(.+)\.channel_last(\.\d+)?", re.DOTALL)
_LEVELS_NAME = re.compile(r"(.+)\.levels(\.\d+)?", re.DOTALL)


def to_channel_last(rank: int = 4) -> tuple[int, ...]:
    """perm of the Transpose from channel-first tensors of this rank: (0, 2, 3, 1) for 4."""
    return (0, rank - 2, rank - 1, *range(1, rank - 2))


def to_channel_first(rank: int = 4) -> tuple[int, ...]:
    """perm of the Transpose back: (0, 3, 1, 2) for 4."""
    return (0, *range(3, rank), 1, 2)


def stands_for(name: str) -> str | None:
    """Name of the channel-first tensor that the channel-last tensor `name` stands for; None if it isn't such a name."""
    found = _CHANNEL_LAST_NAME.fullmatch(name)
    return found and found.group(1)


def levels_of(name: str) -> str | None:
    """Name of the channel-first tensor whose levels the tensor `name` holds; None if it isn't such a name."""
    found = _LEVELS_NAME.fullmatch(name)
    return found and found.group(1)


def is_to_channel_last(node: gs.Node | None) -> TypeGuard[gs.Node]:
    """Whether `node` is one of our Transposes from a tensor to what stands for it."""
    return _is_transpose(node, to_channel_last()) and stands_for(node.outputs[0].name) == node.inputs[0].name


def is_to_channel_first(node: gs.Node | None) -> TypeGuard[gs.Node]:
    """Whether `node` is one of our Transposes to a tensor from what stands for it."""
    return _is_transpose(node, to_channel_first()) and stands_for(node.inputs[0].name) == node.outputs[0].name


def _is_transpose(node: gs.Node | None, perm: tuple[int, ...]) -> TypeGuard[gs.Node]:
    return is_op(node, "Transpose") and tuple(node.attrs.get("perm", ())) == perm


def _transpose(tensor: gs.Tensor, to: gs.Tensor, perm: tuple[int, ...]) -> gs.Node:
    return gs.Node("Transpose", attrs={"perm": list(perm)}, inputs=[tensor], outputs=[to], domain="")


def permuted(shape: list | None, perm: tuple[int, ...]) -> list | None:
    """The shape of a tensor of this shape after a Transpose; None where it isn't known."""
    return None if shape is None else [shape[p] for p in perm]


def twin(tensor: gs.Tensor) -> gs.Tensor | None:
    """The channel-last tensor that stands for `tensor`, if there is one."""
    if is_to_channel_first(maker := producer(tensor)):
        return maker.inputs[0]
    return next((node.outputs[0] for node, _ in readers(tensor) if is_to_channel_last(node)), None)


def new_channel_last(tensor: gs.Tensor, graph: ModelGraph) -> gs.Variable:
    """A new tensor to stand for `tensor`, with nothing that makes it yet."""
    shape = tensor.shape
    last = None if shape is None else permuted(shape, to_channel_last(len(shape)))
    return graph.variable(f"{tensor.name}.channel_last", np.float32, last)


def new_levels(name: str, shape: list | None, graph: ModelGraph) -> gs.Variable:
    """A new tensor of this channel-last shape for level indexes of the channel-first tensor `name`."""
    return graph.variable(f"{name}.levels", np.uint8, shape)


def has_layout(tensor: gs.Tensor) -> bool:
    """Whether `tensor` is computed or a graph input, and of rank 4 as far as is known."""
    return static_value(tensor) is None and (tensor.shape is None or len(tensor.shape) == 4)


def channel_last(tensor: gs.Tensor, graph: ModelGraph) -> gs.Tensor:
    """What stands for `tensor` (B, C, H, W): its twin, or the result of a new Transpose right behind its producer."""
    found = twin(tensor)
    if found is None:
        found = new_channel_last(tensor, graph)
        graph.insert_after(producer(tensor), _transpose(tensor, found, to_channel_last()))
    return found


def make_result_channel_last(node: gs.Node, graph: ModelGraph, index: int = 0) -> gs.Tensor:
    """Let `node` give output `index` channel-last, and a Transpose behind it make the former output. The new output.

    A Transpose that made the output channel-last gives way to it.
    """
    result = node.outputs[index]
    forward = next((n for n, _ in readers(result) if is_to_channel_last(n)), None)
    if forward is None:
        found = new_channel_last(result, graph)
    else:
        found = forward.outputs[0]
        graph.remove(forward)
    node.outputs[index] = found
    graph.insert_after(node, _transpose(found, result, to_channel_first()))
    return found

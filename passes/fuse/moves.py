"""Nodes that only move data about, in either layout: which they are, their channel-last form, and where channels go.

    Concat, Split                     along any axis
    Slice                             starts, ends, axes and steps constant
    Pad                               of rows and columns
    Resize                            nearest, of rows and columns
    channel shuffle                   Reshape (B, g, c, H, W), Transpose of g and c, Reshape (B, c g, H, W)

They treat each axis by itself, so they commute with Transposes if their axes are renamed:

    move(x)^T = move'(x^T)            axis a of x is axis perm.index(a) of x^T, for ^T with `perm`

and with any function of one value, such as a level. Where that differs by channel, it must be known which channel of
which input each channel of an output comes from: `sources`.

A channel shuffle isn't one where real convolutions read it, or what the next quantized convolutions make of it. These
are channel-first, and each PABitConv between them compares and transposes on its own in less time than nodes for both
would take. Depthwise ones with a quantized convolution behind them aren't (paconv.passes.fuse.before_quantized).

A shuffle's tensor of five axes is (B, H, W, g, c) channel-last; its channels count through g and c.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fuse.before_quantized import is_before_quantized
from paconv.passes.fuse.layout import is_to_channel_first, is_to_channel_last, to_channel_first, to_channel_last
from paconv.passes.graph.depthwise import is_depthwise
from paconv.passes.graph.matching import (
    constant_value,
    is_op,
    is_paconv_op,
    is_zero,
    optional_input,
    readers,
    static_value,
)
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["MOVES", "Move", "data_of", "move_from", "pads_zero", "sources", "turn_to_first", "turn_to_last"]

MOVES = ("Concat", "Split", "Slice", "Pad", "Resize", "Reshape", "Transpose")


@dataclass(frozen=True)
class Move:
    """One node, or the three of a channel shuffle, in order."""

    nodes: tuple[gs.Node, ...]

    @property
    def inputs(self) -> list[gs.Tensor]:
        """The tensors whose values are moved."""
        return data_of(self.nodes[0])

    @property
    def outputs(self) -> list[gs.Tensor]:
        return list(self.nodes[-1].outputs)

    @property
    def between(self) -> list[gs.Tensor]:
        """The tensors of five axes within a shuffle."""
        return [node.outputs[0] for node in self.nodes[:-1]]


def data_of(node: gs.Node) -> list[gs.Tensor]:
    """The tensors whose values the node moves; the others say how."""
    return list(node.inputs if is_op(node, "Concat") else node.inputs[:1])


def move_from(node: gs.Node, graph: ModelGraph) -> Move | None:
    """The move of channel-first tensors that starts with `node`, None if it is none that a layout change allows."""
    if not is_op(node, *MOVES) or any(_rank(t) != 4 or static_value(t) is not None for t in data_of(node)):
        return None
    if is_op(node, "Reshape"):
        return _shuffle(node, graph)
    plain = {"Concat": _any, "Split": _is_plain_split, "Slice": _is_plain_slice, "Pad": _is_pad, "Resize": _is_resize}
    return Move((node,)) if plain.get(node.op, _none)(node) else None


def turn_to_last(move: Move, graph: ModelGraph) -> None:
    """Make a move of channel-first tensors one of channel-last tensors; what it reads and makes is the caller's."""
    for node in move.nodes:
        _turn(node, graph, to_channel_last(_turned_rank(node)))


def turn_to_first(node: gs.Node, graph: ModelGraph) -> None:
    """The reverse, for one node of a move."""
    _turn(node, graph, to_channel_first(_turned_rank(node)))


def sources(node: gs.Node, channels: list[int]) -> list[np.ndarray]:
    """Where the channels of each output of a channel-last node of a move come from.

    channels: how many each input has. Returns an array (S, C_out) for each output: column c holds the channels whose
    values channel c takes, in one row or another of the image; input channels count on from input to input.
    """
    first = np.cumsum([0, *channels])
    own = [np.arange(a, b)[None] for a, b in pairwise(first)]
    if is_op(node, "Concat"):
        return [np.concatenate(own, axis=1 if node.attrs["axis"] % 4 == 3 else 0)]
    (x,) = own
    if is_op(node, "Split"):
        if node.attrs.get("axis", 0) % 4 != 3:
            return [x] * len(node.outputs)
        return np.split(x, np.cumsum(_split_sizes(node, channels[0]))[:-1], axis=1)
    if is_op(node, "Slice"):
        starts, ends, axes, steps = _slices(node)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            if axis % 4 == 3:
                x = x[:, _slice_of(start, end, step, channels[0])]
        return [x]
    if is_op(node, "Transpose"):
        groups = node.inputs[0].shape[3:]
        return [x.reshape(1, *groups).swapaxes(1, 2).reshape(1, -1)]
    return [x]


def pads_zero(node: gs.Node) -> bool:
    """Whether a Pad of floats adds zeros."""
    value = optional_input(node, 2)
    return value is None or is_zero(value)


def _any(_: gs.Node) -> bool:
    return True


def _none(_: gs.Node) -> bool:
    return False


def _rank(tensor: gs.Tensor) -> int | None:
    return None if tensor.shape is None else len(tensor.shape)


def _constants(node: gs.Node, first: int) -> bool:
    """Whether inputs `first` and on are constants or left out."""
    return all(t.is_empty() or static_value(t) is not None for t in node.inputs[first:])


def _is_plain_split(node: gs.Node) -> bool:
    return _constants(node, 1)


def _split_sizes(node: gs.Node, channels: int) -> list[int]:
    sizes = optional_input(node, 1)
    if sizes is not None:
        return constant_value(sizes).tolist()
    if "split" in node.attrs:
        return list(node.attrs["split"])
    size = -(-channels // len(node.outputs))
    return [min(size, channels - k * size) for k in range(len(node.outputs))]


def _is_plain_slice(node: gs.Node) -> bool:
    return len(node.inputs) >= 3 and _constants(node, 1)


def _slices(node: gs.Node) -> tuple[list[int], list[int], list[int], list[int]]:
    """starts, ends, axes, steps of a Slice."""
    starts, ends = (constant_value(node.inputs[k]).tolist() for k in (1, 2))
    axes, steps = optional_input(node, 3), optional_input(node, 4)
    return (
        starts,
        ends,
        list(range(len(starts))) if axes is None else constant_value(axes).tolist(),
        [1] * len(starts) if steps is None else constant_value(steps).tolist(),
    )


def _slice_of(start: int, end: int, step: int, size: int) -> slice:
    """The Python slice that ONNX means: an end of a backward slice that lies before the first element is no end."""
    return slice(start, None if step < 0 and end < -size else end, step)


def _is_pad(node: gs.Node) -> bool:
    if len(node.inputs) < 2 or any(static_value(t) is None for t in (node.inputs[1], *node.inputs[3:])):
        return False
    if optional_input(node, 2) is not None and static_value(node.inputs[2]) is None:
        return False
    pads, axes = constant_value(node.inputs[1]).reshape(2, -1), optional_input(node, 3)
    padded = np.arange(4) if axes is None else constant_value(axes) % 4
    return all(axis >= 2 or not pads[:, k].any() for k, axis in enumerate(padded))


def _is_resize(node: gs.Node) -> bool:
    attributes, scales, sizes = node.attrs, optional_input(node, 2), optional_input(node, 3)
    if (
        len(node.inputs) < 3
        or attributes.get("mode", "nearest") != "nearest"
        or attributes.get("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
        or attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch"
        or (scales is None) == (sizes is None)
        or not _constants(node, 1)
    ):
        return False
    axes = attributes.get("axes")
    if axes is not None:
        return all(axis % 4 >= 2 for axis in axes)
    same = [1, 1] if sizes is None else list(node.inputs[0].shape[:2])
    return constant_value(sizes if scales is None else scales).tolist()[:2] == same


def _shuffle(split: gs.Node, graph: ModelGraph) -> Move | None:
    """The channel shuffle that starts with the Reshape `split`."""
    nodes = [split]
    for op in ("Transpose", "Reshape"):
        tensor = nodes[-1].outputs[0]
        behind = readers(tensor)
        if len(behind) != 1 or not is_op(behind[0][0], op) or behind[0][1] or not graph.is_free(tensor):
            return None
        nodes.append(behind[0][0])
    _, swap, merge = nodes
    apart, together = (static_value(node.inputs[1]) for node in (split, merge))
    shape = split.inputs[0].shape
    if (
        apart is None
        or together is None
        or (len(apart), len(together)) != (5, 4)
        or list(swap.attrs.get("perm", ())) != [0, 2, 1, 3, 4]
        or not all(isinstance(n, int) for n in shape[1:])
        or list(apart[3:]) != shape[2:]
        or list(together[2:]) != shape[2:]
        or min(apart[1:]) < 1
        or apart[1] * apart[2] != shape[1]
        or together[1] not in (-1, shape[1])
        or _for_real_convolutions(merge.outputs)
    ):
        return None
    split.outputs[0].shape = [shape[0], *map(int, apart[1:])]
    swap.outputs[0].shape = [shape[0], *(int(apart[k]) for k in (2, 1, 3, 4))]
    return Move(tuple(nodes))


def _for_real_convolutions(tensors: list[gs.Tensor], behind_convolution: bool = False) -> bool:
    """Whether a channel-first convolution reads one of these tensors, or what the next quantized ones make of them."""
    for node in (reader for tensor in tensors for reader, _ in readers(tensor)):
        if is_op(node, "Conv") and not (is_depthwise(node) and is_before_quantized(node)):
            return True
        convolution = any(is_paconv_op(node, op) for op in ("PABitConv", "PALevelConv"))
        if convolution and behind_convolution:
            continue
        passes_on = (
            is_to_channel_first(node) or is_to_channel_last(node) or is_op(node, "Relu", "Clip", "Split", "Conv")
        )
        if (passes_on or convolution or is_paconv_op(node, "PALevels")) and _for_real_convolutions(
            node.outputs, behind_convolution or convolution
        ):
            return True
    return False


def _turned_rank(node: gs.Node) -> int:
    """The number of axes that the node's constants and attributes are about."""
    if is_op(node, "Reshape"):
        return len(constant_value(node.inputs[1]))
    return 5 if is_op(node, "Transpose") else 4


def _turn(node: gs.Node, graph: ModelGraph, perm: tuple[int, ...]) -> None:
    """Rename the axes that the node's constants and attributes are about: perm as of the Transpose of its output."""
    label = graph.label(node)

    def renamed(axes) -> list[int]:
        return [perm.index(int(axis) % len(perm)) for axis in axes]

    def replace(index: int, values: np.ndarray, name: str) -> None:
        while len(node.inputs) <= index:
            node.inputs.append(gs.Variable.empty())
        graph.replace_input(node, index, values, f"{label}.{name}")

    if is_op(node, "Concat", "Split"):
        (node.attrs["axis"],) = renamed([node.attrs.get("axis", 0)])
    elif is_op(node, "Slice"):
        replace(3, np.array(renamed(_slices(node)[2]), np.int64), "axes")
    elif is_op(node, "Reshape"):
        replace(1, constant_value(node.inputs[1])[list(perm)], "shape")
    elif is_op(node, "Transpose"):
        node.attrs["perm"] = [0, 1, 2, 4, 3] if node.attrs["perm"][1] == 2 else [0, 2, 1, 3, 4]
    elif is_op(node, "Pad"):
        if (axes := optional_input(node, 3)) is not None:
            replace(3, np.array(renamed(constant_value(axes)), np.int64), "axes")
        else:
            pads = constant_value(node.inputs[1]).reshape(2, -1)
            replace(1, pads[:, list(perm)].reshape(-1), "pads")
    elif "axes" in node.attrs:
        node.attrs["axes"] = renamed(node.attrs["axes"])
    else:
        index, name = (2, "scales") if optional_input(node, 3) is None else (3, "sizes")
        replace(index, constant_value(node.inputs[index])[list(perm)], name)

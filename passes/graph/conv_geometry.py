"""Strides, pads and dilations of a 2-D Conv, with auto_pad resolved to the explicit pads it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from paconv.onnx_file.same_pads import same_pads
from paconv.passes.graph.graph_pass import Unsuitable

__all__ = ["Geometry", "conv_geometry"]


@dataclass(frozen=True)
class Geometry:
    """Where a convolution's windows lie."""

    strides: list[int]
    """[vertical, horizontal]."""
    pads: list[int]
    """[top, left, bottom, right]."""
    dilations: list[int]
    """[vertical, horizontal]."""
    group: int
    """The number of groups."""


def conv_geometry(conv: gs.Node, kernel: Sequence[int]) -> Geometry:
    """Geometry of a Conv node with a (KH, KW) kernel. Raises Unsuitable where auto_pad depends on an unknown size."""
    strides = list(conv.attrs.get("strides", [1, 1]))
    dilations = list(conv.attrs.get("dilations", [1, 1]))
    mode = conv.attrs.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = list(conv.attrs.get("pads", [0, 0, 0, 0]))
    elif mode == "VALID":
        pads = [0, 0, 0, 0]
    else:
        pairs = []
        for axis, size in enumerate(_spatial_shape(conv.inputs[0])):
            pair = same_pads(mode, size, kernel[axis], strides[axis], dilations[axis])
            if pair is None:
                raise Unsuitable("dynamic-shape-auto-pad")
            pairs.append(pair)
        pads = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    return Geometry(strides, pads, dilations, conv.attrs.get("group", 1))


def _spatial_shape(tensor: gs.Tensor) -> list[int | None]:
    shape = tensor.shape if tensor.shape is not None and len(tensor.shape) == 4 else [None] * 4
    return [n if isinstance(n, int) and n > 0 else None for n in shape[2:]]

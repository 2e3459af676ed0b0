"""Strides, pads and dilations of a 2-D Conv, with auto_pad resolved to the explicit pads it stands for.

For one axis with stride s, dilation d, kernel k and size n, auto_pad SAME_* asks for ceil(n / s) outputs, hence

    total = max((ceil(n / s) - 1) s + d (k - 1) + 1 - n, 0),

half of it before and half after, the odd one after (SAME_UPPER) or before (SAME_LOWER). With s = 1 that is d (k - 1)
for every n, so then the size needn't be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_graphsurgeon as gs

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
        pairs = [
            _same(mode, size, kernel[axis], strides[axis], dilations[axis])
            for axis, size in enumerate(_spatial_shape(conv.inputs[0]))
        ]
        pads = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    return Geometry(strides, pads, dilations, conv.attrs.get("group", 1))


def _spatial_shape(tensor: gs.Tensor) -> list[int | None]:
    shape = tensor.shape if tensor.shape is not None and len(tensor.shape) == 4 else [None] * 4
    return [n if isinstance(n, int) and n > 0 else None for n in shape[2:]]


def _same(mode: str, size: int | None, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = dilation * (kernel - 1)
    if stride == 1:
        total = reach
    elif size is None:
        raise Unsuitable("dynamic-shape-auto-pad")
    else:
        total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)

"""Windows of a convolution, drawn at random over all images, as rows of a matrix.

Row r is what the convolution reads for one output pixel: (C, KH, KW), in the order of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["Geometry", "draw", "windows"]


@dataclass(frozen=True)
class Geometry:
    """Where the windows of a convolution lie."""

    kernel: tuple[int, int]
    """(KH, KW)."""
    strides: tuple[int, int]
    """(vertical, horizontal)."""
    pads: tuple[int, int, int, int]
    """(top, left, bottom, right)."""
    dilations: tuple[int, int]
    """(vertical, horizontal)."""
    group: int
    """Groups of channels."""

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(OH, OW) for an input of that size."""
        padded = (height + self.pads[0] + self.pads[2], width + self.pads[1] + self.pads[3])
        axes = zip(padded, self.kernel, self.strides, self.dilations, strict=True)
        rows, columns = ((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes)
        return rows, columns


def draw(sizes: list[int], count: int, random: np.random.Generator) -> list[np.ndarray]:
    """Of batches that have `sizes` windows each, `count` windows at random, or all: ascending indices per batch."""
    total = sum(sizes)
    chosen = np.sort(random.choice(total, count, replace=False)) if total > count else np.arange(total)
    ends = np.cumsum([0, *sizes])
    places = np.searchsorted(chosen, ends)
    return [chosen[a:b] - start for a, b, start in zip(places[:-1], places[1:], ends[:-1], strict=True)]


def windows(x: np.ndarray, geometry: Geometry, at: np.ndarray, padding: int | float) -> np.ndarray:
    """The windows `at` (R,), indices into (B, OH, OW), of x (B, C, H, W): (R, C, KH, KW), in x's dtype.

    padding: the value outside of the image.
    """
    top, left, bottom, right = geometry.pads
    if any(geometry.pads):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=padding)
    (KH, KW), (SH, SW), (DH, DW) = geometry.kernel, geometry.strides, geometry.dilations
    view = sliding_window_view(x, (DH * (KH - 1) + 1, DW * (KW - 1) + 1), axis=(2, 3))
    view = view[:, :, ::SH, ::SW, ::DH, ::DW]
    image, row, column = np.unravel_index(at, (view.shape[0], *view.shape[2:4]))
    return view[image, :, row, column]

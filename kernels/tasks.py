"""How the convolution is divided into tasks, and where a task's windows begin.

A row of OW pixels is taken as one of row_pixels: OW, or more where register blocks want their pixels at one distance
(kernels/codes/conv.py).
"""

from __future__ import annotations

from numba import njit

from paconv.kernels.arguments import F

__all__ = ["task_range", "window_offsets"]

_inline = njit(inline="always", error_model="numpy")


@_inline
def task_range(a, task, unit):
    """Task number -> (image b*G + g, first pixel, pixels, first lane block, end of lane blocks); pixels of rows of
    row_pixels.

    Pixel chunks vary fastest, so that neighbouring tasks share their weights. They are even, but for whole `unit`s.
    """
    chunk, rest = task % a[F.pixel_chunks], task // a[F.pixel_chunks]
    pixels = (a[F.OH] - 1) * a[F.row_pixels] + a[F.OW]
    units = (pixels + unit - 1) // unit
    first_pixel = chunk * units // a[F.pixel_chunks] * unit
    count = min((chunk + 1) * units // a[F.pixel_chunks] * unit, pixels) - first_pixel
    first_block = rest % a[F.block_chunks] * a[F.blocks_per_task]
    return rest // a[F.block_chunks], first_pixel, count, first_block, min(first_block + a[F.blocks_per_task], a[F.OB])


@_inline
def window_offsets(offsets, a, first_pixel, count, word_bytes):
    """Fill offsets[p] with the bytes from the image's first word to pixel p's window, p < count."""
    row, column = first_pixel // a[F.row_pixels], first_pixel % a[F.row_pixels]
    down, right = a[F.SH] * a[F.Wp] * word_bytes, a[F.SW] * word_bytes
    at = row * down + column * right
    for p in range(count):
        offsets[p] = at
        column, at = column + 1, at + right
        if column == a[F.row_pixels]:
            column, at = 0, at + down - a[F.row_pixels] * right

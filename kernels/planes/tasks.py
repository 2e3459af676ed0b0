"""How the convolution is divided into tasks, and where a task's windows begin."""

from __future__ import annotations

from numba import njit

from paconv.kernels.arguments import LANES, F

__all__ = ["task_range", "window_offsets"]

_inline = njit(inline="always", error_model="numpy")


@_inline
def task_range(a, task):
    """Task number -> (image b*G + g, first pixel, pixels, first lane block, end of lane blocks).

    Pixel chunks vary fastest, so that neighbouring tasks share their weights. They are even, but for whole LANES.
    """
    chunk = task % a[F.pixel_chunks]
    rest = task // a[F.pixel_chunks]
    part = rest % a[F.block_chunks]
    pixels = a[F.OH] * a[F.OW]
    vectors = (pixels + LANES - 1) // LANES
    first_pixel = chunk * vectors // a[F.pixel_chunks] * LANES
    count = min((chunk + 1) * vectors // a[F.pixel_chunks] * LANES, pixels) - first_pixel
    first_block = part * a[F.blocks_per_task]
    return rest // a[F.block_chunks], first_pixel, count, first_block, min(first_block + a[F.blocks_per_task], a[F.OB])


@_inline
def window_offsets(offsets, a, first_pixel, count, word_bytes):
    """Fill offsets[p] with the bytes from the image's first word to pixel p's window."""
    row, column = first_pixel // a[F.OW], first_pixel % a[F.OW]
    down, right = a[F.SH] * a[F.Wp] * word_bytes, a[F.SW] * word_bytes
    OW = a[F.OW]
    at = row * down + column * right
    for p in range(count):
        offsets[p] = at
        column, at = column + 1, at + right
        if column == OW:
            column, at = 0, at + down - OW * right

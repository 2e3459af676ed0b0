"""The depthwise convolution task: one row of pixels through depthwise_sums and the channel-last finish.

Pixels whose window lies inside the image go together, others one by one, with the window's positions that lie inside.

The lane block of the last channels, where they are fewer than LANES, is read from so many channels before that it ends
with the image's last one: nothing behind the image is read. Its weights and bias lie likewise, and what comes of the
channels before is written to where the next pixel's first values go, or to a vector before the first pixel's.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import DEPTHWISE_RUN, LANES, F
from paconv.kernels.depthwise.sums import call_depthwise_sums
from paconv.kernels.emit.memory import pointer, stack_buffer
from paconv.kernels.emit.vectors import VECTOR
from paconv.kernels.finish.channel_last import store_channel_last

__all__ = ["depthwise_conv"]

_inline = njit(inline="always", error_model="numpy")
_OUT_BYTES = (1 + DEPTHWISE_RUN) * VECTOR


@_inline
def _inside(start, taps, step, size):
    """(first, end) of the taps at start, start + step, ... that lie within 0..size-1; the same for none."""
    first = max(-(start // step), 0)
    return first, max(min(taps, -((start - size) // step)), first)


def depthwise_conv(arguments, task):
    """Task b*OH + oh: x (B, H, W, C) float32 -> y, levels_1 and levels_2 of one row, those that are wanted."""
    a = carray(arguments, (len(F),), np.int64)
    C, W, OW, KW, SW, DW = a[F.C], a[F.W], a[F.OW], a[F.KW], a[F.SW], a[F.DW]
    batch, oh = np.int64(task) // a[F.OH], np.int64(task) % a[F.OH]
    top = oh * a[F.SH] - a[F.PT]
    first_row, end_row = _inside(top, a[F.KH], a[F.DH], a[F.H])
    row = a[F.x] + ((batch * a[F.H] + top + first_row * a[F.DH]) * W * C) * 4
    # pixels from `within` on, before `beyond`, have the whole window's columns inside
    within, beyond = -(-a[F.PL] // SW), (W + a[F.PL] - (KW - 1) * DW - 1) // SW + 1
    out_at = stack_buffer(_OUT_BYTES) + VECTOR
    first = np.int64(0)
    while first < OW:
        end = min(first + DEPTHWISE_RUN, OW)
        for block in range(a[F.OB]):
            back = max((block + 1) * LANES - C, 0) if C >= LANES else 0
            bias = a[F.out_bias] + block * VECTOR
            weights = a[F.tap_weights] + (block * a[F.KH] + first_row) * KW * VECTOR
            lanes = row + (block * LANES - back) * 4
            p = first
            while p < end:
                left = p * SW - a[F.PL]
                pixels, first_column, end_column = min(beyond, end) - p, np.int64(0), KW
                if p < within or pixels < 1:
                    pixels = np.int64(1)
                    first_column, end_column = _inside(left, KW, DW, W)
                call_depthwise_sums(
                    a[F.accumulate], pixels, lanes + (left + first_column * DW) * C * 4, SW * C * 4,
                    end_row - first_row, a[F.DH] * W * C * 4, end_column - first_column, DW * C * 4,
                    weights + first_column * VECTOR, KW * VECTOR, bias, out_at + (p - first) * VECTOR - back * 4,
                )  # fmt: skip
                p += pixels
            store_channel_last(a, out_at, batch, 0, block, oh * OW + first, end - first)
        first = end

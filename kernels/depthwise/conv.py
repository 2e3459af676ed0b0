"""The depthwise convolution task: one row of pixels through depthwise_sums and the channel-last finish.

Pixels whose window lies inside the image go together, others one by one, with the window's positions that lie inside.

The lane block of the last channels, where they are fewer than LANES, is read from so many channels before that it ends
with the image's last one: nothing behind the image is read. Its weights and bias lie likewise, and its sums are written
so far before their place: what belongs to other channels goes where no channel of the pixel before is.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import DEPTHWISE_BLOCKS, DEPTHWISE_RUN, LANES, F
from paconv.kernels.depthwise.sums import call_depthwise_sums
from paconv.kernels.emit.memory import stack_buffer
from paconv.kernels.emit.vectors import VECTOR
from paconv.kernels.finish.channel_last import store_channel_last

__all__ = ["depthwise_conv"]

_inline = njit(inline="always", error_model="numpy")
_BLOCK_BYTES = (1 + DEPTHWISE_RUN) * VECTOR
_OUT_BYTES = DEPTHWISE_BLOCKS * _BLOCK_BYTES


@_inline
def _inside(start, taps, step, size):
    """(first, end) of the taps at start, start + step, ... that lie within 0..size-1; the same for none."""
    first = max(-(start // step), 0)
    return first, max(min(taps, -((start - size) // step)), first)


def depthwise_conv(arguments, task):
    """Task b*OH + oh: x (B, H, W, C) float32 -> y, levels_1 and levels_2 of one row, those that are wanted."""
    a = carray(arguments, (F.count,), np.int64)
    C, W, OW, taps = a[F.C], a[F.W], a[F.OW], a[F.KH] * a[F.KW]
    batch, oh = np.int64(task) // a[F.OH], np.int64(task) % a[F.OH]
    top = oh * a[F.SH] - a[F.PT]
    rows = _inside(top, a[F.KH], a[F.DH], a[F.H])
    row = a[F.x] + (batch * a[F.H] + top + rows[0] * a[F.DH]) * W * C * 4
    out_at = stack_buffer(_OUT_BYTES) + VECTOR
    for first_block in range(0, a[F.OB], DEPTHWISE_BLOCKS):
        last_block = min(first_block + DEPTHWISE_BLOCKS, a[F.OB])
        for first in range(0, OW, DEPTHWISE_RUN):
            end = min(first + DEPTHWISE_RUN, OW)
            block = first_block
            while block < last_block:
                lacking = (block + 1) * LANES - C if C >= LANES else 0  # channels of the last block
                blocks = max(min(last_block, C // LANES) - block, 1)
                back = max(lacking, 0) * 4
                _sum(
                    a, first, end, blocks, row + block * VECTOR - back, rows[1] - rows[0],
                    a[F.tap_weights] + (block * taps + rows[0] * a[F.KW]) * VECTOR, taps * VECTOR,
                    a[F.out_bias] + block * VECTOR, out_at + (block - first_block) * _BLOCK_BYTES - back,
                )  # fmt: skip
                block += blocks
            for block in range(first_block, last_block):
                out = out_at + (block - first_block) * _BLOCK_BYTES
                store_channel_last(a, out, batch, 0, block, oh * OW + first, end - first)


@_inline
def _sum(a, first, end, blocks, row, rows, weights, weight_block, bias, out):
    """The sums of pixels `first` to `end`; addresses are those of the first pixel's first lane block."""
    C, W, KW, SW, DW = a[F.C], a[F.W], a[F.KW], a[F.SW], a[F.DW]
    # Pixels from `within` on and before `beyond` have all the window's columns inside.
    within, beyond = -(-a[F.PL] // SW), (W + a[F.PL] - (KW - 1) * DW - 1) // SW + 1
    p = first
    while p < end:
        left = p * SW - a[F.PL]
        columns, pixels = (np.int64(0), KW), min(beyond, end) - p
        if p < within or pixels < 1:
            columns, pixels = _inside(left, KW, DW, W), np.int64(1)
        call_depthwise_sums(
            a[F.accumulate], pixels, blocks, row + (left + columns[0] * DW) * C * 4, SW * C * 4,
            rows, a[F.DH] * W * C * 4, columns[1] - columns[0], DW * C * 4,
            weights + columns[0] * VECTOR, KW * VECTOR, weight_block, bias, out + (p - first) * VECTOR, _BLOCK_BYTES,
        )  # fmt: skip
        p += pixels

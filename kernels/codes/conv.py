"""The convolution task on level codes: register blocks of pixels through accumulate_codes and the finish, stored as Y.

    Y[o] = scale_o * float32( dots[o] ) + bias_o

each step rounded; scale_o has the units of the codes in it (kernels/codes/choose_codes.py). The dot products are exact
integers, so the result is the same bit for bit for any register block, thread count and CPU; and where no sum of terms
reaches MAX_EXACT_FLOAT (kernels/codes/choose_codes.py), it is that of bit planes, and of the function body, as well.

Tasks are those of kernels/tasks.py; the pixels are divided evenly among the chunks, in whole
register blocks where the pixels of one must lie at one distance (kernels/cpus.py). There a row of OW pixels is taken as
one of row_pixels: what comes of those from OW on is dropped.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import PIXEL_CHUNK, F
from paconv.kernels.blocking import MAX_CODE_BLOCKS, MAX_CODE_PIXELS
from paconv.kernels.codes.accumulate import call_accumulate_codes
from paconv.kernels.codes.weights import whole_run
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.memory import pointer, stack_buffer
from paconv.kernels.emit.vectors import FLOATS, VECTOR, WORDS, element, load, plus, store
from paconv.kernels.finish.channel_first import store_channel_first
from paconv.kernels.finish.channel_last import store_channel_last
from paconv.kernels.tasks import task_range, window_offsets

__all__ = ["conv_codes"]

_inline = njit(inline="always", error_model="numpy")
_OFFSETS = PIXEL_CHUNK + MAX_CODE_PIXELS
_OFFSETS_BYTES = 8 * _OFFSETS
_DOTS_BYTES = MAX_CODE_BLOCKS * MAX_CODE_PIXELS * VECTOR
_OUT_BYTES = PIXEL_CHUNK * VECTOR
_OUTS_BYTES = MAX_CODE_BLOCKS * _OUT_BYTES


@_inline
def _kept(a, pixel):
    """Pixels that are kept of those before `pixel`."""
    return pixel // a[F.row_pixels] * a[F.OW] + min(pixel % a[F.row_pixels], a[F.OW])


@_inline
def _kept_run(a, pixel, stop):
    """(where the pixels that are kept from `pixel` on end, where the next begin), up to `stop`."""
    if a[F.row_pixels] == a[F.OW]:
        return stop, stop
    row = pixel // a[F.row_pixels] * a[F.row_pixels]
    return max(min(row + a[F.OW], stop), pixel), row + a[F.row_pixels]


def conv_codes(arguments, task):
    """Writes Y (B, O, OH, OW) float32, or what a channel-last finish is asked for."""
    a = carray(arguments, (F.count,), np.int64)
    P, most_blocks = a[F.pixels_at_once], a[F.blocks_at_once]
    unit = P if a[F.words_at_once] > 1 else 1
    image, first_pixel, count, first_block, last_block = task_range(a, np.int64(task), unit)
    batch, group = image // a[F.G], image % a[F.G]
    word_bytes = a[F.CW] * 4
    words = a[F.words] + image * a[F.Hp] * a[F.Wp] * word_bytes
    block_bytes = a[F.taps] * whole_run(a) * VECTOR

    offsets_at, dots_at, out_at = stack_buffer(_OFFSETS_BYTES), stack_buffer(_DOTS_BYTES), stack_buffer(_OUTS_BYTES)
    offsets = carray(pointer(offsets_at), (_OFFSETS,), np.int64)
    parts, units = (count + P - 1) // P, (count + unit - 1) // unit
    window_offsets(offsets, a, first_pixel, parts * P, word_bytes)
    if unit == 1:
        for p in range(count, parts * P):  # all are read, wanted or not
            offsets[p] = offsets[count - 1]
    first_kept = _kept(a, first_pixel)
    kept = _kept(a, first_pixel + count) - first_kept
    b = first_block
    while b < last_block:
        blocks, block = min(most_blocks, last_block - b), group * a[F.OB] + b
        weights, start = a[F.weight_words] + block * block_bytes, a[F.start] + block * VECTOR
        for part in range(parts):
            p, end = part * units // parts * unit, min((part + 1) * units // parts * unit, count)
            call_accumulate_codes(
                a[F.accumulate], end - p, blocks, words, offsets_at + 8 * p, a[F.tap_offsets], a[F.taps], a[F.run],
                a[F.span], weights, block_bytes, start, dots_at,
            )  # fmt: skip
            pixel, stop = first_pixel + p, first_pixel + end
            while pixel < stop:
                last, next_pixel = _kept_run(a, pixel, stop)
                at = out_at + (_kept(a, pixel) - first_kept) * VECTOR
                for k in range(blocks):
                    lanes, dots = (block + k) * VECTOR, dots_at + (k * P + pixel - first_pixel - p) * VECTOR
                    _finish(at + k * _OUT_BYTES, last - pixel, dots, a[F.out_scale] + lanes, a[F.out_bias] + lanes)
                pixel = next_pixel
        for k in range(blocks):
            if a[F.channel_last]:
                store_channel_last(a, out_at + k * _OUT_BYTES, batch, group, b + k, first_kept, kept)
            else:
                store_channel_first(a, out_at + k * _OUT_BYTES, batch, group, b + k, first_kept, kept)
        b += blocks


@emitted
def _finish(builder, out, count, dots, scale, bias):
    """out[p] = scale * dots[p] + bias, the product rounded first. out (count, LANES), scale and bias (LANES,) float32,
    dots (count, LANES) int32, all 64-byte aligned.
    """
    factors, addends = (load(builder, address, FLOATS) for address in (scale, bias))
    with turns(builder, count) as loop:
        dot = builder.sitofp(element(builder, dots, loop.index, WORDS), FLOATS)
        store(builder, builder.fadd(builder.fmul(factors, dot), addends), plus(builder, out, loop.index, VECTOR))

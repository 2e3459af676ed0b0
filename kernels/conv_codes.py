"""The convolution task on level codes: tiles of pixels through accumulate_codes and the finish, stored as Y.

    Y[o] = base_o + sum_d phi[o, d] * (dots[d] - zero_dots[o, d]) + correction[o, 0] * S_hi + correction[o, 1] * S_lo

S_hi and S_lo are the window's sums of the activations' digits. They cost a few additions a pixel, shared by all output
channels, and put right the mean of what the dot products leave out: the mean error of the window's weights, and the
mean of the products of low digits. What remains is the spread around those means, which the window averages out.

Dot products and sums are exact integers; the float arithmetic is the finish's, in a fixed order: the same bits for any
tile, thread count and CPU level. Tasks are those of kernels/conv.py.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.accumulate import call_accumulate
from paconv.kernels.arguments import LANES, PIXEL_CHUNK, F
from paconv.kernels.finish import store_transposed, weighted_counts
from paconv.kernels.memory import pointer, stack_buffer
from paconv.kernels.tasks import task_range, window_offsets
from paconv.kernels.tiling import MAX_CODE_TILE

__all__ = ["conv_codes"]

_OFFSETS = PIXEL_CHUNK + MAX_CODE_TILE
_OFFSETS_BYTES = 8 * _OFFSETS
_VECTOR = 4 * LANES
_DOTS_BYTES = 2 * MAX_CODE_TILE * _VECTOR
_OUT_BYTES = PIXEL_CHUNK * _VECTOR
_SUMS_BYTES = 8 * PIXEL_CHUNK


@njit(inline="always", error_model="numpy")
def _window_sums(a, sums, window, first_pixel, count):
    """window[p] = (S_hi, S_lo) of pixel first_pixel + p; sums: (Hp*Wp, 2) int32."""
    for p in range(count):
        pixel = first_pixel + p
        start = pixel // a[F.OW] * a[F.SH] * a[F.Wp] + pixel % a[F.OW] * a[F.SW]
        high, low = np.int64(0), np.int64(0)
        for kh in range(a[F.KH]):
            for kw in range(a[F.KW]):
                at = start + kh * a[F.DH] * a[F.Wp] + kw * a[F.DW]
                high += sums[at, 0]
                low += sums[at, 1]
        window[p, 0], window[p, 1] = np.float32(high), np.float32(low)


def conv_codes(arguments, task):
    """Writes Y (B, O, OH, OW) float32."""
    a = carray(arguments, (len(F),), np.int64)
    pixels, D, P = a[F.OH] * a[F.OW], a[F.D], a[F.tile]
    image, first_pixel, count, first_block, last_block = task_range(a, np.int64(task))
    batch, group = image // a[F.G], image % a[F.G]
    taps, run = a[F.taps], a[F.run]
    word_bytes = a[F.CW] * D * 4
    positions = a[F.Hp] * a[F.Wp]
    words = a[F.words] + image * positions * word_bytes
    sums = carray(pointer(a[F.sums] + image * positions * 8), (positions, 2), np.int32)
    blocks = a[F.G] * a[F.OB]
    correction = carray(pointer(a[F.correction]), (blocks, 2, LANES), np.float32)
    zero_dots = carray(pointer(a[F.zero_dots]), (blocks, 2, LANES), np.int32)
    block_bytes = a[F.KH] * a[F.KW] * word_bytes * LANES

    offsets_at, dots_at, out_at = stack_buffer(_OFFSETS_BYTES), stack_buffer(_DOTS_BYTES), stack_buffer(_OUT_BYTES)
    dots = carray(pointer(dots_at), (P, D, LANES), np.int32)
    offsets = carray(pointer(offsets_at), (_OFFSETS,), np.int64)
    out = carray(pointer(out_at), (PIXEL_CHUNK, LANES), np.float32)
    window = carray(pointer(stack_buffer(_SUMS_BYTES)), (PIXEL_CHUNK, 2), np.float32)
    window_offsets(offsets, a, first_pixel, count, P, word_bytes)
    _window_sums(a, sums, window, first_pixel, count)
    for b in range(first_block, last_block):
        block = group * a[F.OB] + b
        weights, base = a[F.weight_words] + block * block_bytes, a[F.base] + block * _VECTOR
        phi = a[F.phi] + block * D * _VECTOR
        p = 0
        while p < count:
            call_accumulate(
                a[F.accumulate], P, words, offsets_at + 8 * p, a[F.tap_offsets], taps, run, weights, dots_at
            )
            for q in range(p, min(p + P, count)):
                for d in range(D):
                    for lane in range(LANES):
                        dots[q - p, d, lane] -= zero_dots[block, d, lane]
                weighted_counts(out_at + q * _VECTOR, base, dots_at + (q - p) * D * _VECTOR, phi, D)
                for lane in range(LANES):
                    out[q, lane] += correction[block, 0, lane] * window[q, 0]
                    out[q, lane] += correction[block, 1, lane] * window[q, 1]
            p += P
        lanes = min(LANES, a[F.OG] - b * LANES)
        first_channel = batch * a[F.O] + group * a[F.OG] + b * LANES
        y_at = a[F.y] + (first_channel * pixels + first_pixel) * 4
        p = 0
        if lanes == LANES:
            while p + LANES <= count:
                store_transposed(out_at + p * _VECTOR, y_at + 4 * p, 4 * pixels)
                p += LANES
        y = carray(pointer(y_at), (lanes * pixels,), np.float32)
        for lane in range(lanes):
            for q in range(p, count):
                y[lane * pixels + q] = out[q, lane]

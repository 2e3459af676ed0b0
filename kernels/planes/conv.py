"""The convolution task: register blocks of pixels through accumulate, scale and finish, stored as Y or as counts.

A task is a run of output pixels (flat index oh*OW + ow) times a run of lane blocks of one group of one image. The run
is divided evenly into parts of at most P pixels, wherever they lie, each by its own offset. No two tasks write the same
output.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.bits import MAX_PLANES
from paconv.kernels.arguments import LANES, PIXEL_CHUNK, F
from paconv.kernels.blocking import MAX_COUNTS
from paconv.kernels.emit.memory import pointer, stack_buffer
from paconv.kernels.emit.vectors import VECTOR
from paconv.kernels.finish.channel_first import store_channel_first
from paconv.kernels.finish.channel_last import store_channel_last
from paconv.kernels.planes.accumulate import call_accumulate
from paconv.kernels.planes.offsets import TOTALS_BYTES, add_scaled, add_window_offsets, window_totals
from paconv.kernels.planes.scale import scale_counts
from paconv.kernels.tasks import task_range, window_offsets

__all__ = ["conv"]

_inline = njit(inline="always", error_model="numpy")

_OFFSETS_BYTES = 8 * PIXEL_CHUNK
_COUNTS_BYTES = 4 * LANES * MAX_COUNTS
_OUT_BYTES = 4 * LANES * PIXEL_CHUNK


@_inline
def _accumulate(a, pixels, words, offsets_at, weights, counts_at):
    """The counts of a register block, sub-block by sub-block of its M x N planes (kernels/blocking.py)."""
    M, N, rows, columns = a[F.M], a[F.N], a[F.parts_M], a[F.parts_N]
    functions = carray(pointer(a[F.accumulate]), (MAX_PLANES + 1, MAX_PLANES + 1), np.int64)
    i = np.int64(0)
    for row in range(rows):
        m = M // rows + (1 if row < M % rows else 0)
        j = np.int64(0)
        for column in range(columns):
            n = N // columns + (1 if column < N % columns else 0)
            call_accumulate(
                functions[m, n], pixels, words + 4 * j, offsets_at, a[F.tap_offsets], a[F.taps], a[F.run],
                weights + i * VECTOR, counts_at + (i * N + j) * VECTOR, M, N,
            )  # fmt: skip
            j += n
        i += m


@_inline
def _store_counts(a, counts_at, count, batch, group, b, first_pixel):
    """Store `count` pixels of lane block b to the counts (B, M, N, O, OH, OW). counts_at: (count, M*N, LANES) int32."""
    pixels, pairs = a[F.OH] * a[F.OW], a[F.M] * a[F.N]
    counts = carray(pointer(counts_at), (count, pairs, LANES), np.int32)
    for k in range(pairs):
        for lane in range(min(LANES, a[F.OG] - b * LANES)):
            channel = (batch * pairs + k) * a[F.O] + group * a[F.OG] + b * LANES + lane
            y = carray(pointer(a[F.y] + (channel * pixels + first_pixel) * 4), (count,), np.int32)
            for p in range(count):
                y[p] = counts[p, k, lane]


def conv(arguments, task):
    """Writes Y (B, O, OH, OW) float32, what a channel-last finish is asked for, or counts (B, M, N, O, OH, OW)."""
    a = carray(arguments, (F.count,), np.int64)
    M, N, P = a[F.M], a[F.N], a[F.pixels_at_once]
    image, first_pixel, count, first_block, last_block = task_range(a, np.int64(task), LANES)
    batch, group = image // a[F.G], image % a[F.G]
    taps, run, CW = a[F.taps], a[F.run], a[F.CW]
    word_bytes = CW * N * 4
    words = a[F.words] + image * a[F.Hp] * a[F.Wp] * word_bytes
    block_bytes = taps * run * M * LANES * 4

    offsets_at, counts_at = stack_buffer(_OFFSETS_BYTES), stack_buffer(_COUNTS_BYTES)
    offsets = carray(pointer(offsets_at), (PIXEL_CHUNK,), np.int64)
    out_at, totals_at = stack_buffer(_OUT_BYTES), stack_buffer(TOTALS_BYTES)
    out = carray(pointer(out_at), (PIXEL_CHUNK * LANES,), np.float32)
    window_offsets(offsets, a, first_pixel, count, word_bytes)
    has_offsets = a[F.has_alpha_0] | a[F.has_beta_0]
    if a[F.has_alpha_0]:
        window_totals(a, totals_at, words, offsets_at, count)
    parts = (count + P - 1) // P
    least, larger = count // parts, count % parts  # pixels of a part; parts with one more
    for b in range(first_block, last_block):
        block = group * a[F.OB] + b
        weights, phi = a[F.weight_words] + block * block_bytes, a[F.phi] + block * M * N * VECTOR
        scale, bias = a[F.out_scale] + block * VECTOR, a[F.out_bias] + block * VECTOR
        if has_offsets:
            for q in range(count * LANES):
                out[q] = 0
        if a[F.has_alpha_0]:
            add_scaled(out_at, count, a[F.offset_alpha] + block * VECTOR, totals_at)
        if a[F.has_beta_0]:
            add_window_offsets(a, out_at, block, first_pixel, count)
        p = 0
        for part in range(parts):
            taken = least + 1 if part < larger else least
            _accumulate(a, taken, words, offsets_at + 8 * p, weights, counts_at)
            if a[F.wants_counts]:
                _store_counts(a, counts_at, taken, batch, group, b, first_pixel + p)
            else:
                scale_counts(out_at + p * VECTOR, has_offsets, scale, bias, counts_at, phi, M * N, taken)
            p += taken
        if a[F.channel_last]:
            store_channel_last(a, out_at, batch, group, b, first_pixel, count)
        elif not a[F.wants_counts]:
            store_channel_first(a, out_at, batch, group, b, first_pixel, count)

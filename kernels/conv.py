"""The convolution tasks: tiles of pixels through accumulate and finish, stored as Y or as counts.

A task is a run of output pixels (flat index oh*OW + ow) times a run of lane blocks of one group of one image. The run
is divided evenly into tiles of at most P pixels, wherever they lie, each by its own offset. No two tasks write the same
output.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from paconv.kernels.accumulate import call_accumulate
from paconv.kernels.arguments import LANES, PIXEL_CHUNK, F
from paconv.kernels.finish import add_activation_offset, add_window_offset, store_transposed, weighted_counts
from paconv.kernels.memory import pointer, stack_buffer
from paconv.kernels.tasks import task_range, window_offsets
from paconv.kernels.tiling import MAX_TILE_COUNTS

__all__ = ["conv", "conv_counts"]

_OFFSETS_BYTES = 8 * PIXEL_CHUNK
_COUNTS_BYTES = 4 * LANES * MAX_TILE_COUNTS
_VECTOR = 4 * LANES
_OUT_BYTES = 4 * LANES * PIXEL_CHUNK


def conv(arguments, task):
    """Writes Y (B, O, OH, OW) float32."""
    a = carray(arguments, (len(F),), np.int64)
    pixels, OW, M, N, P = a[F.OH] * a[F.OW], a[F.OW], a[F.M], a[F.N], a[F.tile]
    image, first_pixel, count, first_block, last_block = task_range(a, np.int64(task))
    batch, group = image // a[F.G], image % a[F.G]
    taps, run, CW = a[F.taps], a[F.run], a[F.CW]
    word_bytes = CW * N * 4
    words = a[F.words] + image * a[F.Hp] * a[F.Wp] * word_bytes
    word_array = carray(pointer(words), (a[F.Hp] * a[F.Wp] * CW * N,), np.uint32)
    tap_offsets = carray(pointer(a[F.tap_offsets]), (taps,), np.int64)
    beta = carray(pointer(a[F.beta]), (N + 1,), np.float32)
    blocks = a[F.G] * a[F.OB]
    offset_alpha = carray(pointer(a[F.offset_alpha]), (blocks, LANES), np.float32)
    offset_taps = carray(pointer(a[F.offset_taps]), (blocks, a[F.KH] * a[F.KW], LANES), np.float32)
    block_bytes = taps * run * M * LANES * 4

    offsets_at, counts_at = stack_buffer(_OFFSETS_BYTES), stack_buffer(_COUNTS_BYTES)
    offsets = carray(pointer(offsets_at), (PIXEL_CHUNK,), np.int64)
    out_at = stack_buffer(_OUT_BYTES)
    out = carray(pointer(out_at), (PIXEL_CHUNK, LANES), np.float32)
    window_offsets(offsets, a, first_pixel, count, 1, word_bytes)
    tiles = (count + P - 1) // P
    least, larger = count // tiles, count % tiles  # pixels of a tile; tiles with one more
    for b in range(first_block, last_block):
        block = group * a[F.OB] + b
        weights, base = a[F.weight_words] + block * block_bytes, a[F.base] + block * _VECTOR
        phi = a[F.phi] + block * M * N * _VECTOR
        p = 0
        for tile in range(tiles):
            taken = least + 1 if tile < larger else least
            call_accumulate(
                a[F.accumulate], taken, words, offsets_at + 8 * p, a[F.tap_offsets], taps, run, weights, counts_at
            )
            for q in range(taken):
                weighted_counts(out_at + (p + q) * _VECTOR, base, counts_at + q * M * N * _VECTOR, phi, M * N)
                if a[F.has_alpha_0]:
                    start = offsets[p + q] // 4
                    add_activation_offset(
                        out[p + q], offset_alpha[block], word_array, start, tap_offsets, taps, run, beta, N
                    )
                if a[F.has_beta_0]:
                    pixel = first_pixel + p + q
                    top = pixel // OW * a[F.SH] - a[F.PT]
                    left = pixel % OW * a[F.SW] - a[F.PL]
                    taps_of_block = offset_taps[block]
                    add_window_offset(
                        out[p + q], taps_of_block, top, left, a[F.H], a[F.W], a[F.KH], a[F.KW], a[F.DH], a[F.DW]
                    )
            p += taken
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


def conv_counts(arguments, task):
    """Writes the counts (B, M, N, O, OH, OW) int32; otherwise as conv."""
    a = carray(arguments, (len(F),), np.int64)
    pixels, M, N, P = a[F.OH] * a[F.OW], a[F.M], a[F.N], a[F.tile]
    image, first_pixel, count, first_block, last_block = task_range(a, np.int64(task))
    batch, group = image // a[F.G], image % a[F.G]
    word_bytes = a[F.CW] * N * 4
    words = a[F.words] + image * a[F.Hp] * a[F.Wp] * word_bytes
    block_bytes = a[F.taps] * a[F.run] * M * LANES * 4
    offsets_at, counts_at = stack_buffer(_OFFSETS_BYTES), stack_buffer(_COUNTS_BYTES)
    offsets = carray(pointer(offsets_at), (PIXEL_CHUNK,), np.int64)
    counts = carray(pointer(counts_at), (P, M * N, LANES), np.int32)
    window_offsets(offsets, a, first_pixel, count, 1, word_bytes)
    tiles = (count + P - 1) // P
    least, larger = count // tiles, count % tiles  # pixels of a tile; tiles with one more
    for b in range(first_block, last_block):
        weights = a[F.weight_words] + (group * a[F.OB] + b) * block_bytes
        first_channel = group * a[F.OG] + b * LANES
        p = 0
        for tile in range(tiles):
            taken = least + 1 if tile < larger else least
            call_accumulate(
                a[F.accumulate], taken, words, offsets_at + 8 * p, a[F.tap_offsets], a[F.taps], a[F.run], weights,
                counts_at,
            )  # fmt: skip
            for k in range(M * N):
                for lane in range(min(LANES, a[F.OG] - b * LANES)):
                    at = ((batch * M * N + k) * a[F.O] + first_channel + lane) * pixels + first_pixel + p
                    y = carray(pointer(a[F.y] + at * 4), (P,), np.int32)
                    for q in range(taken):
                        y[q] = counts[q, k, lane]
            p += taken

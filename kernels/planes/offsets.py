"""Offsets of the general form: what alpha_0 and beta_0 add to a sum (scale.py has the whole of it).

    totals[p]  = sum_j l_j |V_j|, over the window of pixel p                       one number for all output channels
    out[p, o] += offset_alpha_o * totals[p]                                        where alpha_0 is not 0
    out[p, o] += sum over the window's taps inside the image of offset_taps[o, tap]       where beta_0 is not 0

in float32. Most windows lie inside the image with all their taps, so that sum is taken once for each lane block; both
kinds of windows add their taps in order, starting from 0, and then to out: the same for any register block and thread
count.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import LANES, PIXEL_CHUNK, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.memory import pointer, popcount, stack_buffer
from paconv.kernels.emit.vectors import FLOATS, VECTOR, broadcast, load, store

__all__ = ["TOTALS_BYTES", "add_scaled", "add_window_offsets", "window_totals"]

TOTALS_BYTES = 4 * PIXEL_CHUNK

_inline = njit(inline="always", error_model="numpy")


@partial(emitted, floats=("number",))
def _add_product(builder, out, factors, number):
    """out += factors * number, the product rounded first. Addresses of (LANES,) float32, 64-byte aligned."""
    product = builder.fmul(load(builder, factors, FLOATS), broadcast(builder, number, FLOATS))
    store(builder, builder.fadd(load(builder, out, FLOATS), product), out)


@_inline
def window_totals(a, totals_at, words, offsets_at, count):
    """Fill totals (count,) float32. words: address of the image; offsets (count,) int64: bytes to each window."""
    N, taps, run = a[F.N], a[F.taps], a[F.run]
    totals = carray(pointer(totals_at), (count,), np.float32)
    offsets = carray(pointer(offsets_at), (count,), np.int64)
    tap_offsets = carray(pointer(a[F.tap_offsets]), (taps,), np.int64)
    l = carray(pointer(a[F.beta_l]), (N + 1,), np.float32)
    for p in range(count):
        total = np.float32(0)
        for j in range(N):
            bits = np.int64(0)
            for tap in range(taps):
                run_words = carray(pointer(words + offsets[p] + tap_offsets[tap]), (run * N,), np.uint32)
                for t in range(run):
                    bits += popcount(run_words[t * N + j])
            total += l[j + 1] * np.float32(bits)
        totals[p] = total


@_inline
def add_scaled(out_at, count, factors_at, totals_at):
    """out[p] += factors * totals[p]: out (count, LANES), factors (LANES,), totals (count,) float32."""
    totals = carray(pointer(totals_at), (count,), np.float32)
    for p in range(count):
        _add_product(out_at + p * VECTOR, factors_at, totals[p])


@_inline
def add_window_offsets(a, out_at, block, first_pixel, count):
    """Add the offsets of the taps inside the image. out: (count, LANES) float32; block: of all groups' lane blocks."""
    H, W, KH, KW, DH, DW = a[F.H], a[F.W], a[F.KH], a[F.KW], a[F.DH], a[F.DW]
    SH, SW, PT, PL, OW = a[F.SH], a[F.SW], a[F.PT], a[F.PL], a[F.OW]
    one, taps_at = np.float32(1), a[F.offset_taps] + block * KH * KW * VECTOR
    whole_at, part_at = stack_buffer(VECTOR), stack_buffer(VECTOR)
    whole, part = carray(pointer(whole_at), (LANES,), np.float32), carray(pointer(part_at), (LANES,), np.float32)
    whole[:] = 0
    for tap in range(KH * KW):
        _add_product(whole_at, taps_at + tap * VECTOR, one)
    row, column = first_pixel // OW, first_pixel % OW
    for p in range(count):
        top, left = row * SH - PT, column * SW - PL
        if top >= 0 and left >= 0 and top + (KH - 1) * DH < H and left + (KW - 1) * DW < W:
            _add_product(out_at + p * VECTOR, whole_at, one)
        else:
            part[:] = 0
            for kh in range(KH):
                if 0 <= top + kh * DH < H:
                    for kw in range(KW):
                        if 0 <= left + kw * DW < W:
                            _add_product(part_at, taps_at + (kh * KW + kw) * VECTOR, one)
            _add_product(out_at + p * VECTOR, part_at, one)
        column += 1
        if column == OW:
            row, column = row + 1, 0

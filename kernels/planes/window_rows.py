"""Window rows: where a group has few channels, the words of a whole window row, bit by bit without gaps.

Otherwise each position has ceil(CG/32) words, and a window row KW times as many, mostly padding where CG is small.
Here the position where a window row begins holds all of its bits, in CW = ceil(KW*CG/32) words:

    words[h, w, :, j] bit kw*CG + c  =  own[h, w + kw*DW, :, j] bit c,    c < CG, kw < KW

so a window is KH runs of CW words, whatever DW. Each bit of the window is there once: |V_j| can still be counted. The
weights lie the same way (kernels/planes/weights.py). Whether a node does this is the shim's decision
(bit_conv_create.c).

Rows are joined in place: the gathers write a position's own words where its row's words begin, and going from left to
right, a position is overwritten when no later one needs it. Positions where no window begins stay as they are. A row is
taken in stretches of ROW_RUN positions, one plane at a time, so that shifts are vectors along the row; what lies past
its end is never a window's.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from paconv.bits import WORD_BITS
from paconv.kernels.arguments import LANES, MAX_HALO, MAX_ROW_WORDS, ROW_RUN, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.memory import clear_bytes, copy_words, stack_buffer
from paconv.kernels.emit.vectors import VECTOR, WORDS, broadcast, const, i32, load, plus, store

__all__ = ["window_rows"]

_ROW = 4 * ROW_RUN
_ROW_BYTES = MAX_ROW_WORDS * _ROW
_OWN = 4 * (ROW_RUN + MAX_HALO)
_OWN_BYTES = MAX_ROW_WORDS * _OWN


@emitted
def _merge(builder, target, source, shift):
    """target[p] |= source[p] << shift, or >> -shift, for ROW_RUN words; |shift| < 32. Addresses; target is aligned."""
    left = builder.select(builder.icmp_signed(">", shift, const(0)), shift, const(0))
    up, down = (broadcast(builder, builder.trunc(by, i32), WORDS) for by in (left, builder.sub(left, shift)))
    for k in range(ROW_RUN // LANES):
        from_, to = (plus(builder, at, k, VECTOR) for at in (source, target))
        moved = builder.lshr(builder.shl(load(builder, from_, WORDS, align=4), up), down)
        store(builder, builder.or_(load(builder, to, WORDS), moved), to)


def window_rows(arguments, task):
    """Task (b*G + g)*Hp + row joins one row of an image. Expects (KW - 1)*DW <= MAX_HALO and CW <= MAX_ROW_WORDS."""
    a = carray(arguments, (F.count,), np.int64)
    CG, CW, N, Wp, KW, DW, SW = a[F.CG], a[F.CW], a[F.N], a[F.Wp], a[F.KW], a[F.DW], a[F.SW]
    words_of_position, step = (CG + WORD_BITS - 1) // WORD_BITS, CW * N * 4
    row = a[F.words] + np.int64(task) * Wp * step
    own, joined = stack_buffer(_OWN_BYTES), stack_buffer(_ROW_BYTES)
    windows = a[F.OW]
    window = 0
    while window < windows:
        first = window * SW
        here = min(windows - window, (ROW_RUN - 1) // SW + 1)
        needed = min(ROW_RUN + (KW - 1) * DW, Wp - first)
        for j in range(N):
            words = row + first * step + j * 4
            for k in range(words_of_position):
                copy_words(own + k * _OWN, 4, words + k * N * 4, step, needed)
            clear_bytes(joined, CW * _ROW)
            for kw in range(KW):
                for k in range(words_of_position):
                    bit = kw * CG + k * WORD_BITS
                    t, shift = bit // WORD_BITS, bit % WORD_BITS
                    words_of_tap = own + k * _OWN + kw * DW * 4
                    _merge(joined + t * _ROW, words_of_tap, shift)
                    if shift and t + 1 < CW:
                        _merge(joined + (t + 1) * _ROW, words_of_tap, shift - WORD_BITS)
            for t in range(CW):
                copy_words(words + t * N * 4, SW * step, joined + t * _ROW, SW * 4, here)
        window += here

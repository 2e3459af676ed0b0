"""Gather planes from level indexes: bytes of 32 channels side by side become one word a plane.

    V_j = bit_{j-1}( level_masks[L[b, h, w, c]] )
    words[b, g, h + PT, w + PL, cw, j] bit c  =  V_j[b, h, w, g*CG + 32*cw + c]

One-hot masks (PA): plane j is L == j. Other masks: with the level ascending, passing e toggles the planes in
level_masks[e] ^ level_masks[e+1], so plane j is the XOR of L > e over the e that toggle it. A level above E counts
as E.
The words of window padding are the shim's to clear. H x W, XSH and XSW are as in kernels/planes/gather.py, and where
words are by rows, what follows a position's own is for kernels/planes/window_rows.py.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import carray, types

from paconv.bits import WORD_BITS
from paconv.kernels.arguments import LEVEL_RUN, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.memory import copy_bytes, pointer, stack_buffer
from paconv.kernels.emit.vectors import broadcast, i1, i8, i32, load, vector

__all__ = ["gather_levels"]


@partial(emitted, result=types.uint32)
def _which(builder, levels, level, above):
    """Bit c of the uint32 result: levels[c] == level, or levels[c] > level if `above` is 1. levels: (32,) uint8."""
    bytes_ = load(builder, levels, vector(i8, WORD_BITS), align=1)
    wanted = broadcast(builder, builder.trunc(level, i8), bytes_.type)
    equal, greater = builder.icmp_unsigned("==", bytes_, wanted), builder.icmp_unsigned(">", bytes_, wanted)
    return builder.bitcast(builder.select(builder.trunc(above, i1), greater, equal), i32)


def gather_levels(arguments, task):
    """Task (b*G + g)*gather_runs + run packs LEVEL_RUN positions of one group."""
    a = carray(arguments, (F.count,), np.int64)
    W, CG, CW, N, E = a[F.W], a[F.CG], a[F.CW], a[F.N], a[F.E]
    image, first = np.int64(task) // a[F.gather_runs], np.int64(task) % a[F.gather_runs] * LEVEL_RUN
    last = min(first + LEVEL_RUN, a[F.H] * W)
    batch, group = image // a[F.G], image % a[F.G]
    words = carray(pointer(a[F.words] + image * a[F.Hp] * a[F.Wp] * CW * N * 4), (a[F.Hp] * a[F.Wp], CW, N), np.uint32)
    masks = carray(pointer(a[F.level_masks]), (E + 1,), np.uint8)
    tail_at = stack_buffer(WORD_BITS)
    own = (CG + WORD_BITS - 1) // WORD_BITS
    row, column = first // W, first % W
    for _ in range(first, last):
        source_row = batch * a[F.XH] + row * a[F.XSH]
        levels = a[F.levels] + (source_row * a[F.XW] + column * a[F.XSW]) * a[F.C] + group * CG
        target = (row + a[F.PT]) * a[F.Wp] + column + a[F.PL]
        for cw in range(own):
            channels = min(WORD_BITS, CG - cw * WORD_BITS)
            source = levels + cw * WORD_BITS
            if channels < WORD_BITS:
                copy_bytes(tail_at, source, channels)
                source = tail_at
            exist = np.uint32((np.int64(1) << channels) - 1)
            if a[F.one_hot]:
                for j in range(N - 1):
                    words[target, cw, j] = _which(source, j + 1, 0) & exist
                words[target, cw, N - 1] = _which(source, N - 1, 1) & exist
            else:
                for j in range(N):
                    word = exist if (masks[0] >> j) & 1 else np.uint32(0)
                    for e in range(E):
                        if ((masks[e] ^ masks[e + 1]) >> j) & 1:
                            word ^= _which(source, e, 1)
                    words[target, cw, j] = word & exist
        column += 1
        if column == W:
            row, column = row + 1, 0

"""Gather: compare activations with their endpoints and pack the planes into words.

    level[b, c, h, w] = #{ e : sign_c * X[b, c, h, w] >= v[c, e] },   V_j = bit_{j-1}( level_masks[level] )
    words[b, g, h + PT, w + PL, cw, j] bit c  =  V_j[b, g*CG + 32*cw + c, h, w]

Endpoints ascend, so passing endpoint e moves the level from e to e+1 and toggles exactly the planes in
level_masks[e] ^ level_masks[e+1]: each comparison is XORed into those planes, whatever the masks are (one-hot,
binary, thermometer). Every comparison with NaN is false. Window padding sets no plane.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from paconv.bits import MAX_PLANES, WORD_BITS
from paconv.kernels.arguments import F
from paconv.kernels.memory import pointer, stack_buffer

__all__ = ["gather"]

_RUN = 64
"""Pixels packed at a time; a run's planes stay in the first-level cache."""

_STACK = 4 * _RUN * (MAX_PLANES + 1)


def gather(arguments, task):
    """Task (b*G + g)*Hp + row packs one padded row of one group."""
    a = carray(arguments, (len(F),), np.int64)
    W, CG, CW, N, Hp, Wp = a[F.W], a[F.CG], a[F.CW], a[F.N], a[F.Hp], a[F.Wp]
    image, row = np.int64(task) // Hp, np.int64(task) % Hp
    h = row - a[F.PT]
    words = carray(pointer(a[F.words] + np.int64(task) * Wp * CW * N * 4), (Wp, CW, N), np.uint32)
    for column in range(Wp):
        for cw in range(CW):
            for j in range(N):
                words[column, cw, j] = 0
    if h < 0 or h >= a[F.H]:
        return

    batch, group = image // a[F.G], image % a[F.G]
    v = carray(pointer(a[F.v]), (a[F.v_rows], a[F.E]), np.float32)
    sign = carray(pointer(a[F.sign]), (a[F.sign_rows],), np.int8)
    masks = carray(pointer(a[F.level_masks]), (a[F.E] + 1,), np.uint8)
    buffer = stack_buffer(_STACK)
    planes = carray(pointer(buffer), (MAX_PLANES, _RUN), np.uint32)
    reached = carray(pointer(buffer + 4 * _RUN * MAX_PLANES), (_RUN,), np.uint32)
    for cw in range(CW):
        channels = min(WORD_BITS, CG - cw * WORD_BITS)
        for start in range(0, W, _RUN):
            count = min(_RUN, W - start)
            for j in range(N):
                for p in range(count):
                    planes[j, p] = 0
            for bit in range(channels):
                c = group * CG + cw * WORD_BITS + bit
                x = carray(
                    pointer(a[F.x] + (((batch * a[F.C] + c) * a[F.H] + h) * W + start) * 4), (count,), np.float32
                )
                direction = np.float32(sign[0 if a[F.sign_rows] == 1 else c])
                v_row = 0 if a[F.v_rows] == 1 else c
                lowest = np.int64(masks[0])
                for j in range(N):
                    if (lowest >> j) & 1:
                        for p in range(count):
                            planes[j, p] ^= np.uint32(1) << np.uint32(bit)
                for e in range(a[F.E]):
                    endpoint = v[v_row, e]
                    for p in range(count):
                        reached[p] = np.uint32(direction * x[p] >= endpoint) << np.uint32(bit)
                    toggled = np.int64(masks[e]) ^ np.int64(masks[e + 1])
                    for j in range(N):
                        if (toggled >> j) & 1:
                            for p in range(count):
                                planes[j, p] ^= reached[p]
            for p in range(count):
                for j in range(N):
                    words[a[F.PL] + start + p, cw, j] = planes[j, p]

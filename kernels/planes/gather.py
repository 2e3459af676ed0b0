"""Gather: compare activations with their endpoints and pack the planes into words.

    level[b, c, h, w] = #{ e : sign_c * X[b, c, h, w] >= v[c, e] },   V_j = bit_{j-1}( level_masks[level] )
    words[b, g, h + PT, w + PL, cw, j] bit c  =  V_j[b, g*CG + 32*cw + c, h, w]

Endpoints ascend, so passing endpoint e moves the level from e to e+1 and toggles exactly the planes in
level_masks[e] ^ level_masks[e+1]: each comparison is XORed into those planes, whatever the masks are (one-hot,
binary, thermometer). Every comparison with NaN is false. The words of window padding are the shim's to clear.
Where CW is larger than a group's channels need, the rest of a position's words is for kernels/planes/window_rows.py.

H x W is the packed image: all of X, or every XSH-th row and XSW-th column where a 1x1 convolution reads no others.

A channel's pixels are taken in runs of RUN, whatever rows they lie in, as vectors of LANES; the last run of an image is
copied to a buffer first, so that no vector reads past the image, and so is a run of pixels that don't lie side by side.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.bits import MAX_PLANES, WORD_BITS
from paconv.kernels.arguments import GATHER_RUN, LANES, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.memory import copy_bytes, copy_words, pointer, stack_buffer
from paconv.kernels.emit.vectors import (
    FLOATS,
    VECTOR,
    WORDS,
    broadcast,
    const,
    element,
    f32,
    i1,
    i8,
    i32,
    load,
    load_signed,
    plus,
    store,
)

__all__ = ["gather"]

_inline = njit(inline="always", error_model="numpy")
_PLANES_BYTES = 4 * GATHER_RUN * MAX_PLANES
_RUN_BYTES = 4 * GATHER_RUN


def gather(arguments, task):
    """Task ((b*G + g)*gather_parts + part)*gather_runs + run packs a run of pixels of one group, part of its words."""
    a = carray(arguments, (F.count,), np.int64)
    W, CG, CW, N, E = a[F.W], a[F.CG], a[F.CW], a[F.N], a[F.E]
    pixels = a[F.H] * W
    first, rest = np.int64(task) % a[F.gather_runs] * GATHER_RUN, np.int64(task) // a[F.gather_runs]
    image, part = rest // a[F.gather_parts], rest % a[F.gather_parts]
    count = min(GATHER_RUN, pixels - first)
    batch, group = image // a[F.G], image % a[F.G]
    words = carray(pointer(a[F.words] + image * a[F.Hp] * a[F.Wp] * CW * N * 4), (a[F.Hp], a[F.Wp], CW, N), np.uint32)
    sign = carray(pointer(a[F.sign]), (a[F.sign_rows],), np.int8)
    masks = carray(pointer(a[F.level_masks]), (E + 1,), np.uint8)
    planes_at, run_at = stack_buffer(_PLANES_BYTES), stack_buffer(_RUN_BYTES)
    planes = carray(pointer(planes_at), (MAX_PLANES, GATHER_RUN), np.uint32)
    own = (CG + WORD_BITS - 1) // WORD_BITS
    for cw in range(part * own // a[F.gather_parts], (part + 1) * own // a[F.gather_parts]):
        channels = min(WORD_BITS, CG - cw * WORD_BITS)
        # At level 0 a channel sets the planes of level_masks[0]: for most schemes none.
        start = np.uint32((np.int64(1) << channels) - 1)
        for j in range(N):
            word = start if (masks[0] >> j) & 1 else np.uint32(0)
            for p in range(GATHER_RUN):
                planes[j, p] = word
        for bit in range(channels):
            c = group * CG + cw * WORD_BITS + bit
            channel = a[F.x] + (batch * a[F.C] + c) * a[F.XH] * a[F.XW] * 4
            x = channel + first * 4
            if a[F.XSH] > 1 or a[F.XSW] > 1:
                _copy_apart(a, run_at, channel, first, count)
                x = run_at
            elif count < GATHER_RUN:
                copy_bytes(run_at, x, 4 * count)
                x = run_at
            negative = np.int64(sign[0 if a[F.sign_rows] == 1 else c] < 0)
            endpoints = a[F.v] + (0 if a[F.v_rows] == 1 else c) * E * 4
            _pack_channel(x, negative, endpoints, a[F.level_masks], E, N, bit, planes_at)
        row, column = first // W + a[F.PT], first % W
        for p in range(count):
            for j in range(N):
                words[row, column + a[F.PL], cw, j] = planes[j, p]
            column += 1
            if column == W:
                row, column = row + 1, 0


@_inline
def _copy_apart(a, run_at, channel, first, count):
    """run[p] = the channel's value that is packed at pixel first + p of H x W; addresses of float32."""
    row, column, p = first // a[F.W], first % a[F.W], 0
    while p < count:
        length = min(a[F.W] - column, count - p)
        source = channel + (row * a[F.XSH] * a[F.XW] + column * a[F.XSW]) * 4
        copy_words(run_at + 4 * p, 4, source, 4 * a[F.XSW], length)
        row, column, p = row + 1, 0, p + length


@emitted
def _pack_channel(builder, x, negative, endpoints, masks, E, N, bit, planes):
    """XOR bit `bit` of one channel's run into `planes`.

    x: (GATHER_RUN,) float32, read as -x if `negative` is 1; endpoints: (E,) float32; masks: (E+1,) uint8;
    planes: (MAX_PLANES, GATHER_RUN) uint32, 64-byte aligned.
    """
    signed = load_signed(builder, x, GATHER_RUN // LANES, negative)
    shift = broadcast(builder, builder.trunc(bit, i32), WORDS)
    with turns(builder, E) as endpoint:
        e = endpoint.index
        v = broadcast(builder, element(builder, endpoints, e, f32), FLOATS)
        reached = [builder.shl(builder.zext(builder.fcmp_ordered(">=", value, v), WORDS), shift) for value in signed]
        after = builder.add(e, const(1))
        toggled = builder.xor(element(builder, masks, e, i8), element(builder, masks, after, i8))
        with turns(builder, N) as plane:
            moved = builder.lshr(toggled, builder.trunc(plane.index, i8))
            with builder.if_then(builder.trunc(moved, i1)):
                row = plus(builder, planes, plane.index, 4 * GATHER_RUN)
                for k, bits in enumerate(reached):
                    target = plus(builder, row, k, VECTOR)
                    store(builder, builder.xor(load(builder, target, WORDS), bits), target)

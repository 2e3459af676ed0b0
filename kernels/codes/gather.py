"""Gather level codes: compare activations with their endpoints and store the levels' bytes, channel-last.

    level[b, c, h, w] = #{ e : sign_c * X[b, c, h, w] >= v[c, e] }
    words[b, g, h + PT, w + PL, cw]  =  level_codes[level[b, c, h, w]] of the four channels c that share word cw

the first channel lowest; by one product where endpoints are evenly apart and bytes rise one by one
(kernels/finish/levels.py). Window padding is the shim's to fill, with the byte of 0. Bytes past the last channel are
zero; their weights are too. Pixels are taken in runs, as in kernels/planes/gather.py; LANES words of a run are
collected channel by channel in `rows` and then stored pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from numba import carray
from numba.core import cgutils

from paconv.kernels.arguments import CODING, EVEN_ROWS, GATHER_RUN, LANES, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.memory import clear_bytes, copy_bytes, copy_words, pointer, stack_buffer
from paconv.kernels.emit.transpose import transpose
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
from paconv.kernels.finish.levels import even_levels

__all__ = ["gather_codes"]

_CHANNELS = 4  # that share a word
_RUN_BYTES = 4 * GATHER_RUN
_X_BYTES = _CHANNELS * _RUN_BYTES
_ROWS_BYTES = LANES * _RUN_BYTES
_BLOCK_BYTES = 4 * LANES * LANES
_POSITIONS_BYTES = 8 * GATHER_RUN


def gather_codes(arguments, task):
    """Task (b*G + g)*gather_runs + run packs one run of pixels of one group, all its channels."""
    a = carray(arguments, (F.count,), np.int64)
    W, Wp, CG, CW, E = a[F.W], a[F.Wp], a[F.CG], a[F.CW], a[F.E]
    pixels = a[F.H] * W
    image, first = np.int64(task) // a[F.gather_runs], np.int64(task) % a[F.gather_runs] * GATHER_RUN
    count = min(GATHER_RUN, pixels - first)
    batch, group = image // a[F.G], image % a[F.G]
    words_at = a[F.words] + image * a[F.Hp] * Wp * CW * 4
    sign = carray(pointer(a[F.sign]), (a[F.sign_rows],), np.int8)
    rising = carray(pointer(a[F.coding]), (CODING.count,), np.float64)[CODING.rising] > 0
    x_at, rows_at, block_at = stack_buffer(_X_BYTES), stack_buffer(_ROWS_BYTES), stack_buffer(_BLOCK_BYTES)
    positions = carray(pointer(stack_buffer(_POSITIONS_BYTES)), (GATHER_RUN,), np.int64)

    column, position = first % W, (first // W + a[F.PT]) * Wp + first % W + a[F.PL]
    for p in range(count):
        positions[p] = position
        column, position = column + 1, position + 1
        if column == W:
            column, position = 0, position + Wp - W

    row = 0
    for cw in range(CW):
        channels = min(_CHANNELS, CG - cw * _CHANNELS)
        c = group * CG + cw * _CHANNELS
        x, stride = a[F.x] + ((batch * a[F.C] + c) * pixels + first) * 4, pixels * 4
        if count < GATHER_RUN:
            for k in range(channels):
                copy_bytes(x_at + k * _RUN_BYTES, x + k * stride, 4 * count)
            x, stride = x_at, np.int64(_RUN_BYTES)
        clear_bytes(rows_at + row * _RUN_BYTES, _RUN_BYTES)
        for k in range(channels):
            negative = np.int64(sign[0 if a[F.sign_rows] == 1 else c + k] < 0)
            channel = 0 if a[F.v_rows] == 1 else c + k
            endpoints = a[F.v] + channel * E * 4
            even = a[F.even] + channel * EVEN_ROWS * 4 if rising else np.int64(0)
            target = rows_at + row * _RUN_BYTES
            _code_channel(x + k * stride, negative, endpoints, even, a[F.level_codes], E, 8 * k, target)
        row += 1
        if row == LANES or cw + 1 == CW:
            for q in range(0, count, LANES):
                transpose(rows_at + q * 4, _RUN_BYTES, block_at)
                for p in range(q, min(q + LANES, count)):
                    target = words_at + (positions[p] * CW + cw + 1 - row) * 4
                    source = block_at + (p - q) * VECTOR
                    if row == LANES:
                        _copy_vector(source, target)
                    else:
                        copy_words(target, 4, source, 4, row)
            row = 0


@emitted
def _copy_vector(builder, source, target):
    """LANES words from an aligned place to one of words."""
    store(builder, load(builder, source, WORDS), target, align=4)


@emitted
def _code_channel(builder, x, negative, endpoints, even, codes, E, shift, row):
    """Put one channel's run, shifted by `shift` bits, into the row.

    x: (GATHER_RUN,) float32, read as -x if `negative` is 1; endpoints: (E,) float32; even: (EVEN_ROWS,) float32, or 0
    where codes don't rise one by one; codes: (E+1,) uint8; row: (GATHER_RUN,) uint32, 64-byte aligned.
    """
    signed = load_signed(builder, x, GATHER_RUN // LANES, negative)

    def code(level):
        return broadcast(builder, builder.zext(element(builder, codes, level, i8), i32), WORDS)

    first = code(0)
    found = [cgutils.alloca_once(builder, WORDS) for _ in signed]
    unsure = cgutils.alloca_once(builder, i1)
    builder.store(const(1, i1), unsure)
    with builder.if_then(builder.icmp_signed("!=", even, const(0))):
        scale, offset, margin = (element(builder, even, const(k), f32) for k in range(EVEN_ROWS))
        with builder.if_then(builder.fcmp_ordered(">=", margin, const(0.0, f32))):
            scales, offsets = (broadcast(builder, number, FLOATS) for number in (scale, offset))
            found_levels = even_levels(builder, signed, scales, offsets, margin, E, unsure)
            for place, level in zip(found, found_levels, strict=True):
                builder.store(builder.and_(builder.add(level, first), const(255, WORDS)), place)
    with builder.if_then(builder.load(unsure)):
        for place in found:
            builder.store(first, place)
        with turns(builder, E) as endpoint:
            v = broadcast(builder, element(builder, endpoints, endpoint.index, f32), FLOATS)
            reaching = code(builder.add(endpoint.index, const(1)))
            for place, value in zip(found, signed, strict=True):
                reached = builder.fcmp_ordered(">=", value, v)
                builder.store(builder.select(reached, reaching, builder.load(place)), place)
    shifts = broadcast(builder, builder.trunc(shift, i32), WORDS)
    for k, place in enumerate(found):
        target = plus(builder, row, k, VECTOR)
        store(builder, builder.or_(load(builder, target, WORDS), builder.shl(builder.load(place), shifts)), target)

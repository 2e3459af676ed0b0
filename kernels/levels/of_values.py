"""PALevels: level indexes of LANES channels at once.

    L[c] = #{ e : sign_c * X[c] >= v[c, e] }

Values of LANES channels lie side by side; thresholds (E, LANES) hold their endpoints, NaN for channels that don't
exist, and flips (LANES,) the sign bit of channels with sign -1: multiplying by -1 is turning that bit.
"""

from __future__ import annotations

import numpy as np
from numba import carray
from numba.core import cgutils

from paconv.kernels.arguments import LANES, LEVEL_RUN, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.memory import copy_bytes, stack_buffer
from paconv.kernels.emit.vectors import BYTES, FLOATS, VECTOR, WORDS, const, element, load, store

__all__ = ["PIXELS", "levels_of_values", "store_levels"]

PIXELS = 4
"""Pixels whose levels are found at a time."""


def store_levels(builder, values: list, thresholds, flips, E, levels, step) -> None:
    """Store the levels (LANES,) uint8 of vectors of values, `step` bytes apart without alignment; thresholds and flips
    are 64-byte aligned.
    """
    flip = load(builder, flips, WORDS)
    signed = [builder.bitcast(builder.xor(builder.bitcast(value, WORDS), flip), FLOATS) for value in values]
    counts = [cgutils.alloca_once(builder, WORDS) for _ in values]
    for reached in counts:
        builder.store(const(0, WORDS), reached)
    with turns(builder, E) as loop:
        threshold = element(builder, thresholds, loop.index, FLOATS)
        for value, reached in zip(signed, counts, strict=True):
            one = builder.sext(builder.fcmp_ordered(">=", value, threshold), WORDS)
            builder.store(builder.sub(builder.load(reached), one), reached)
    for p, reached in enumerate(counts):
        target = builder.add(levels, builder.mul(step, const(p)))
        store(builder, builder.trunc(builder.load(reached), BYTES), target, align=1)


def _count_levels(count: int):
    """For `count` pixels: levels (LANES,) uint8, `step` bytes apart, of values (LANES,) float32, `apart` bytes.

    Addresses; neither is aligned; thresholds and flips as for store_levels.
    """

    @emitted
    def count_levels(builder, values, apart, thresholds, flips, E, levels, step):
        places = [builder.add(values, builder.mul(apart, const(p))) for p in range(count)]
        vectors = [load(builder, place, FLOATS, align=4) for place in places]
        store_levels(builder, vectors, thresholds, flips, E, levels, step)

    return count_levels


_count_one, _count_some = _count_levels(1), _count_levels(PIXELS)


def levels_of_values(arguments, task):
    """PALevels: task t is positions t*LEVEL_RUN on, all channels: x (B*H*W, C) float32 -> levels_1 uint8."""
    a = carray(arguments, (F.count,), np.int64)
    C, E, blocks = a[F.C], a[F.E_1], a[F.OB]
    first = np.int64(task) * LEVEL_RUN
    last = min(first + LEVEL_RUN, a[F.B] * a[F.H] * a[F.W])
    values_at, levels_at = stack_buffer(VECTOR), stack_buffer(LANES)
    for block in range(blocks):
        c = block * LANES
        lanes = min(LANES, C - c)
        row = 0 if a[F.v_rows] == 1 else block
        thresholds, flips = a[F.thresholds_1] + row * E * VECTOR, a[F.flips_1] + row * VECTOR
        position = first
        while position < last:
            source, target = a[F.x] + (position * C + c) * 4, a[F.levels_1] + position * C + c
            if lanes < LANES:
                copy_bytes(values_at, source, 4 * lanes)
                _count_one(values_at, 0, thresholds, flips, E, levels_at, 0)
                copy_bytes(target, levels_at, lanes)
                position += 1
            elif position + PIXELS <= last:
                _count_some(source, 4 * C, thresholds, flips, E, target, C)
                position += PIXELS
            else:
                _count_one(source, 0, thresholds, flips, E, target, 0)
                position += 1

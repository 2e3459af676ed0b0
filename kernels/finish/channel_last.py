"""Finish pixels of a lane block channel-last: values, their levels, or both.

Y    = min(max(values + residual, low), high)
L[c] = #{ e : sign_c * Y[c] >= v[c, e] }            (kernels/finish/levels.py)
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import carray, njit
from numba.core import cgutils

from paconv.kernels.arguments import EVEN_ROWS, LANES, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.memory import copy_bytes, pointer, stack_buffer
from paconv.kernels.emit.vectors import FLOATS, VECTOR, broadcast, const, load, plus, store
from paconv.kernels.finish.levels import levels_of

__all__ = ["finish", "store_channel_last"]

_PIXELS = 4  # that are finished at a time
_inline = njit(inline="always", error_model="numpy")


@partial(emitted, floats=("low", "high"))
def finish(
    builder, count, values, apart, residual, low, high, y, step,
    thresholds_1, flips_1, E_1, levels_1, thresholds_2, flips_2, E_2, levels_2,
):  # fmt: skip
    """Finish `count` pixels of LANES channels.

    Addresses; 0 for a residual, y or levels that there is none of. values (LANES,) float32 lie `apart` bytes,
    residual and y (LANES,) float32 4 `step` bytes apart, and levels (LANES,) uint8 `step` bytes, all without alignment;
    thresholds and flips are 64-byte aligned.
    """
    floats_apart = builder.mul(step, const(4))
    bounds = ("<", broadcast(builder, low, FLOATS)), (">", broadcast(builder, high, FLOATS))

    def there(address):
        return builder.if_then(builder.icmp_signed("!=", address, const(0)))

    def finish_together(first, pixels: int) -> None:
        def places(start, apart):
            return [builder.add(start, builder.mul(apart, plus(builder, first, p))) for p in range(pixels)]

        found = [cgutils.alloca_once(builder, FLOATS) for _ in range(pixels)]
        for place, value in zip(places(values, apart), found, strict=True):
            builder.store(load(builder, place, FLOATS, align=4), value)
        with there(residual):
            for place, value in zip(places(residual, floats_apart), found, strict=True):
                builder.store(builder.fadd(builder.load(value), load(builder, place, FLOATS, align=4)), value)
        results = []
        for value in map(builder.load, found):
            for comparison, bound in bounds:
                value = builder.select(builder.fcmp_ordered(comparison, value, bound), bound, value)
            results.append(value)
        with there(y):
            for place, value in zip(places(y, floats_apart), results, strict=True):
                store(builder, value, place, align=4)
        for *endpoints, levels in ((thresholds_1, flips_1, E_1, levels_1), (thresholds_2, flips_2, E_2, levels_2)):
            with there(levels):
                for place, found_levels in zip(
                    places(levels, step), levels_of(builder, results, *endpoints), strict=True
                ):
                    store(builder, found_levels, place, align=1)

    whole = builder.sdiv(count, const(_PIXELS))
    with turns(builder, whole) as loop:
        finish_together(builder.mul(loop.index, const(_PIXELS)), _PIXELS)
    done = builder.mul(whole, const(_PIXELS))
    with turns(builder, builder.sub(count, done)) as loop:
        finish_together(builder.add(done, loop.index), 1)


@_inline
def store_channel_last(a, values, batch, group, b, first_pixel, count):
    """Finish `count` pixels of lane block b: Y, levels_1 and levels_2, those that are wanted.

    values: (count, LANES) float32, what the convolution gave.
    """
    lanes, block, O = min(LANES, a[F.OG] - b * LANES), group * a[F.OB] + b, a[F.O]
    clip = carray(pointer(a[F.clip]), (2,), np.float32)
    low, high, E_1, E_2 = clip[0], clip[1], a[F.E_1], a[F.E_2]
    thresholds_1 = a[F.thresholds_1] + block * (E_1 + EVEN_ROWS) * VECTOR
    thresholds_2 = a[F.thresholds_2] + block * (E_2 + EVEN_ROWS) * VECTOR
    flips_1, flips_2 = a[F.flips_1] + block * VECTOR, a[F.flips_2] + block * VECTOR
    first = (batch * a[F.OH] * a[F.OW] + first_pixel) * O + group * a[F.OG] + b * LANES
    # Where the first pixel's values lie; 0 for what there is none of.
    residual = a[F.residual] + first * 4 if a[F.residual] else 0
    y = a[F.y] + first * 4 if a[F.y] else 0
    levels_1 = a[F.levels_1] + first if a[F.levels_1] else 0
    levels_2 = a[F.levels_2] + first if a[F.levels_2] else 0
    if lanes == LANES:
        finish(
            count, values, VECTOR, residual, low, high, y, O,
            thresholds_1, flips_1, E_1, levels_1, thresholds_2, flips_2, E_2, levels_2,
        )  # fmt: skip
        return
    # Fewer channels go through buffers of whole vectors.
    residual_at, y_at = stack_buffer(VECTOR), stack_buffer(VECTOR)
    levels_1_at, levels_2_at = stack_buffer(LANES), stack_buffer(LANES)
    for q in range(count):
        at = q * O
        if residual:
            copy_bytes(residual_at, residual + at * 4, 4 * lanes)
        finish(
            1, values + q * VECTOR, 0, residual_at if residual else 0, low, high, y_at, 0,
            thresholds_1, flips_1, E_1, levels_1_at if levels_1 else 0,
            thresholds_2, flips_2, E_2, levels_2_at if levels_2 else 0,
        )  # fmt: skip
        if y:
            copy_bytes(y + at * 4, y_at, 4 * lanes)
        if levels_1:
            copy_bytes(levels_1 + at, levels_1_at, lanes)
        if levels_2:
            copy_bytes(levels_2 + at, levels_2_at, lanes)

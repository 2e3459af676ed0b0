"""Finish `count` pixels of a lane block channel-last: values, their levels, or both.

Y    = min(max(out + residual, low), high)
L[c] = #{ e : sign_c * Y[c] >= v[c, e] }                                        as kernels/levels/of_values.py
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import carray, njit
from numba.core import cgutils

from paconv.kernels.arguments import LANES, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.memory import copy_bytes, pointer, stack_buffer
from paconv.kernels.emit.vectors import FLOATS, VECTOR, at, broadcast, const, load, store
from paconv.kernels.levels.of_values import PIXELS, store_levels

__all__ = ["store_channel_last"]

_inline = njit(inline="always", error_model="numpy")


def _finish(count: int):
    """For `count` pixels: y = min(max(values + residual, low), high), and its levels.

    Addresses; 0 for a residual, y or levels that there is none of. values (LANES,) float32 lie one after the other,
    64-byte aligned; residual and y (LANES,) float32, 4 `step` bytes apart, and levels (LANES,) uint8, `step` bytes
    apart, without alignment; thresholds and flips as for store_levels.
    """

    @partial(emitted, floats=("low", "high"))
    def finish(
        builder, values, residual, step, low, high, y,
        thresholds_1, flips_1, E_1, levels_1, thresholds_2, flips_2, E_2, levels_2,
    ):  # fmt: skip
        floats_apart = builder.mul(step, const(4))

        def places(first, apart):
            addresses = [builder.add(first, builder.mul(apart, const(p))) for p in range(count)]
            return [at(builder, address, FLOATS) for address in addresses]

        def there(address):
            return builder.if_then(builder.icmp_signed("!=", address, const(0)))

        found = [cgutils.alloca_once(builder, FLOATS) for _ in range(count)]
        for place, value in zip(places(values, const(VECTOR)), found, strict=True):
            builder.store(load(builder, place, FLOATS), value)
        with there(residual):
            for place, value in zip(places(residual, floats_apart), found, strict=True):
                builder.store(builder.fadd(builder.load(value), load(builder, place, FLOATS, align=4)), value)
        results = []
        bounds = ("<", broadcast(builder, low, FLOATS)), (">", broadcast(builder, high, FLOATS))
        for value in map(builder.load, found):
            for comparison, bound in bounds:
                value = builder.select(builder.fcmp_ordered(comparison, value, bound), bound, value)
            results.append(value)
        with there(y):
            for place, value in zip(places(y, floats_apart), results, strict=True):
                store(builder, value, place, align=4)
        for levels in ((thresholds_1, flips_1, E_1, levels_1), (thresholds_2, flips_2, E_2, levels_2)):
            with there(levels[-1]):
                store_levels(builder, results, *levels, step)

    return finish


_finish_one, _finish_some = _finish(1), _finish(PIXELS)


@_inline
def store_channel_last(a, out_at, batch, group, b, first_pixel, count):
    """Finish `count` pixels of lane block b: Y, levels_1 and levels_2, those that are wanted.

    out_at: (count, LANES) float32, 64-byte aligned, what the convolution gave.
    """
    lanes = min(LANES, a[F.OG] - b * LANES)
    block = group * a[F.OB] + b
    clip = carray(pointer(a[F.clip]), (2,), np.float32)
    low, high, E_1, E_2, O = clip[0], clip[1], a[F.E_1], a[F.E_2], a[F.O]
    thresholds_1, flips_1 = a[F.thresholds_1] + block * E_1 * VECTOR, a[F.flips_1] + block * VECTOR
    thresholds_2, flips_2 = a[F.thresholds_2] + block * E_2 * VECTOR, a[F.flips_2] + block * VECTOR
    first = (batch * a[F.OH] * a[F.OW] + first_pixel) * O + group * a[F.OG] + b * LANES
    # Where the first pixel's values lie; 0 for what there is none of.
    residual = a[F.residual] + first * 4 if a[F.residual] else 0
    y = a[F.y] + first * 4 if a[F.y] else 0
    levels_1 = a[F.levels_1] + first if a[F.levels_1] else 0
    levels_2 = a[F.levels_2] + first if a[F.levels_2] else 0
    if lanes < LANES:
        _store_narrow(
            lanes, out_at, count, O, low, high, residual, y,
            thresholds_1, flips_1, E_1, levels_1, thresholds_2, flips_2, E_2, levels_2,
        )  # fmt: skip
        return
    q = 0
    while q < count:
        values, at = out_at + q * VECTOR, q * O
        residual_at, y_at = residual + at * 4 if residual else 0, y + at * 4 if y else 0
        levels_1_at, levels_2_at = levels_1 + at if levels_1 else 0, levels_2 + at if levels_2 else 0
        if q + PIXELS <= count:
            _finish_some(
                values, residual_at, O, low, high, y_at,
                thresholds_1, flips_1, E_1, levels_1_at, thresholds_2, flips_2, E_2, levels_2_at,
            )  # fmt: skip
            q += PIXELS
        else:
            _finish_one(
                values, residual_at, O, low, high, y_at,
                thresholds_1, flips_1, E_1, levels_1_at, thresholds_2, flips_2, E_2, levels_2_at,
            )  # fmt: skip
            q += 1


@_inline
def _store_narrow(
    lanes, out_at, count, O, low, high, residual, y,
    thresholds_1, flips_1, E_1, levels_1, thresholds_2, flips_2, E_2, levels_2,
):  # fmt: skip
    """store_channel_last for a block of fewer than LANES channels: through buffers of whole vectors."""
    residual_at, y_at = stack_buffer(VECTOR), stack_buffer(VECTOR)
    levels_1_at, levels_2_at = stack_buffer(LANES), stack_buffer(LANES)
    for q in range(count):
        at = q * O
        if residual:
            copy_bytes(residual_at, residual + at * 4, 4 * lanes)
        _finish_one(
            out_at + q * VECTOR, residual_at if residual else 0, 0, low, high, y_at,
            thresholds_1, flips_1, E_1, levels_1_at if levels_1 else 0,
            thresholds_2, flips_2, E_2, levels_2_at if levels_2 else 0,
        )  # fmt: skip
        if y:
            copy_bytes(y + at * 4, y_at, 4 * lanes)
        if levels_1:
            copy_bytes(levels_1 + at, levels_1_at, lanes)
        if levels_2:
            copy_bytes(levels_2 + at, levels_2_at, lanes)

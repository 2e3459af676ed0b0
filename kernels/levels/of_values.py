"""Compare: level indexes of LANES channels at once, and the finish of channel-last results.

    Y    = min(max(out + residual, low), high)
    L[c] = #{ e : sign_c * Y[c] >= v[c, e] }

Values of LANES channels lie side by side; thresholds (E, LANES) hold their endpoints, NaN for channels that don't
exist, and flips (LANES,) the sign bit of channels with sign -1: multiplying by -1 is turning that bit.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import LANES, LEVEL_RUN, F
from paconv.kernels.emit.memory import copy_bytes, pointer, stack_buffer

__all__ = ["compare", "store_channel_last"]

_VECTOR = 4 * LANES
_PIXELS = 4  # finished at a time
_inline = njit(inline="always", error_model="numpy")
_i8, _i32, _i64, _f32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_words, _floats, _bytes = (ir.VectorType(kind, LANES) for kind in (_i32, _f32, _i8))


def _at(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


def _broadcast(builder, scalar):
    single = builder.insert_element(ir.Constant(_floats, ir.Undefined), scalar, ir.Constant(_i32, 0))
    return builder.shuffle_vector(single, single, ir.Constant(_words, [0] * LANES))


def _emit_count(builder, values: list, thresholds, flips, E, levels, step) -> None:
    """Store the levels (LANES,) uint8 of vectors of values, `step` bytes apart without alignment; thresholds and flips
    are 64-byte aligned.
    """
    flip = builder.load(_at(builder, flips, _words), align=_VECTOR)
    signed = [builder.bitcast(builder.xor(builder.bitcast(value, _words), flip), _floats) for value in values]
    counts = [cgutils.alloca_once(builder, _words) for _ in values]
    for reached in counts:
        builder.store(ir.Constant(_words, [0] * LANES), reached)
    with cgutils.for_range(builder, E, intp=_i64) as loop:
        row = builder.add(thresholds, builder.mul(loop.index, ir.Constant(_i64, _VECTOR)))
        threshold = builder.load(_at(builder, row, _floats), align=_VECTOR)
        for value, reached in zip(signed, counts, strict=True):
            one = builder.sext(builder.fcmp_ordered(">=", value, threshold), _words)
            builder.store(builder.sub(builder.load(reached), one), reached)
    for p, reached in enumerate(counts):
        target = builder.add(levels, builder.mul(step, ir.Constant(_i64, p)))
        builder.store(builder.trunc(builder.load(reached), _bytes), _at(builder, target, _bytes), align=1)


@intrinsic(prefer_literal=True)
def _count_levels(typingctx, pixels, values, apart, thresholds, flips, E, levels, step):
    """levels (LANES,) uint8, `step` bytes apart, of values (LANES,) float32, `apart` bytes, for a literal number of
    pixels. Addresses; neither is aligned; thresholds and flips as for _emit_count.
    """
    if not isinstance(pixels, types.IntegerLiteral):
        return None
    count = pixels.literal_value

    def codegen(context, builder, signature, args):
        _, values, apart, *rest = args
        places = [builder.add(values, builder.mul(apart, ir.Constant(_i64, p))) for p in range(count)]
        _emit_count(builder, [builder.load(_at(builder, place, _floats), align=4) for place in places], *rest)
        return context.get_dummy_value()

    return types.void(pixels, *[types.int64] * 7), codegen


@intrinsic(prefer_literal=True)
def _finish(
    typingctx, pixels, values, residual, step, low, high, y,
    thresholds_1, flips_1, E_1, levels_1, thresholds_2, flips_2, E_2, levels_2,
):  # fmt: skip
    """y = min(max(values + residual, low), high), and its levels; for a literal number of pixels.

    Addresses; 0 for a residual, y or levels that there is none of. values (LANES,) float32 lie one after the other,
    64-byte aligned; residual and y (LANES,) float32, 4 `step` bytes apart, and levels (LANES,) uint8, `step` bytes
    apart, without alignment; thresholds and flips as for _emit_count.
    """
    if not isinstance(pixels, types.IntegerLiteral):
        return None
    count = pixels.literal_value

    def codegen(context, builder, signature, args):
        _, values, residual, step, low, high, y, *levels = args
        floats_apart, none = builder.mul(step, ir.Constant(_i64, 4)), ir.Constant(_i64, 0)

        def places(first, apart):
            at = [builder.add(first, builder.mul(apart, ir.Constant(_i64, p))) for p in range(count)]
            return [_at(builder, address, _floats) for address in at]

        def there(address):
            return builder.if_then(builder.icmp_signed("!=", address, none))

        found = [cgutils.alloca_once(builder, _floats) for _ in range(count)]
        for place, value in zip(places(values, ir.Constant(_i64, _VECTOR)), found, strict=True):
            builder.store(builder.load(place, align=_VECTOR), value)
        with there(residual):
            for place, value in zip(places(residual, floats_apart), found, strict=True):
                builder.store(builder.fadd(builder.load(value), builder.load(place, align=4)), value)
        results = []
        bounds = ("<", _broadcast(builder, low)), (">", _broadcast(builder, high))
        for value in map(builder.load, found):
            for comparison, bound in bounds:
                value = builder.select(builder.fcmp_ordered(comparison, value, bound), bound, value)
            results.append(value)
        with there(y):
            for place, value in zip(places(y, floats_apart), results, strict=True):
                builder.store(value, place, align=4)
        for thresholds, flips, E, target in (levels[:4], levels[4:]):
            with there(target):
                _emit_count(builder, results, thresholds, flips, E, target, step)
        return context.get_dummy_value()

    floats = types.float32, types.float32
    return types.void(pixels, *[types.int64] * 3, *floats, *[types.int64] * 9), codegen


def compare(arguments, task):
    """PALevels: task t compares positions t*LEVEL_RUN on, all channels: x (B*H*W, C) float32 -> levels_1 uint8."""
    a = carray(arguments, (len(F),), np.int64)
    C, E, blocks = a[F.C], a[F.E_1], a[F.OB]
    first = np.int64(task) * LEVEL_RUN
    last = min(first + LEVEL_RUN, a[F.B] * a[F.H] * a[F.W])
    values_at, levels_at = stack_buffer(_VECTOR), stack_buffer(LANES)
    for block in range(blocks):
        c = block * LANES
        lanes = min(LANES, C - c)
        row = 0 if a[F.v_rows] == 1 else block
        thresholds, flips = a[F.thresholds_1] + row * E * _VECTOR, a[F.flips_1] + row * _VECTOR
        position = first
        while position < last:
            source, target = a[F.x] + (position * C + c) * 4, a[F.levels_1] + position * C + c
            if lanes < LANES:
                copy_bytes(values_at, source, 4 * lanes)
                _count_levels(1, values_at, 0, thresholds, flips, E, levels_at, 0)
                copy_bytes(target, levels_at, lanes)
                position += 1
            elif position + _PIXELS <= last:
                _count_levels(_PIXELS, source, 4 * C, thresholds, flips, E, target, C)
                position += _PIXELS
            else:
                _count_levels(1, source, 0, thresholds, flips, E, target, 0)
                position += 1


@_inline
def store_channel_last(a, out_at, batch, group, b, first_pixel, count):
    """Finish `count` pixels of lane block b: Y, levels_1 and levels_2, those that are wanted.

    out_at: (count, LANES) float32, 64-byte aligned, what the convolution gave.
    """
    lanes = min(LANES, a[F.OG] - b * LANES)
    block = group * a[F.OB] + b
    clip = carray(pointer(a[F.clip]), (2,), np.float32)
    low, high, E_1, E_2, O = clip[0], clip[1], a[F.E_1], a[F.E_2], a[F.O]
    thresholds_1, flips_1 = a[F.thresholds_1] + block * E_1 * _VECTOR, a[F.flips_1] + block * _VECTOR
    thresholds_2, flips_2 = a[F.thresholds_2] + block * E_2 * _VECTOR, a[F.flips_2] + block * _VECTOR
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
        values, at = out_at + q * _VECTOR, q * O
        residual_at, y_at = residual + at * 4 if residual else 0, y + at * 4 if y else 0
        levels_1_at, levels_2_at = levels_1 + at if levels_1 else 0, levels_2 + at if levels_2 else 0
        if q + _PIXELS <= count:
            _finish(
                _PIXELS, values, residual_at, O, low, high, y_at,
                thresholds_1, flips_1, E_1, levels_1_at, thresholds_2, flips_2, E_2, levels_2_at,
            )  # fmt: skip
            q += _PIXELS
        else:
            _finish(
                1, values, residual_at, O, low, high, y_at,
                thresholds_1, flips_1, E_1, levels_1_at, thresholds_2, flips_2, E_2, levels_2_at,
            )  # fmt: skip
            q += 1


@_inline
def _store_narrow(
    lanes, out_at, count, O, low, high, residual, y,
    thresholds_1, flips_1, E_1, levels_1, thresholds_2, flips_2, E_2, levels_2,
):  # fmt: skip
    """store_channel_last for a block of fewer than LANES channels: through buffers of whole vectors."""
    residual_at, y_at = stack_buffer(_VECTOR), stack_buffer(_VECTOR)
    levels_1_at, levels_2_at = stack_buffer(LANES), stack_buffer(LANES)
    for q in range(count):
        at = q * O
        if residual:
            copy_bytes(residual_at, residual + at * 4, 4 * lanes)
        _finish(
            1, out_at + q * _VECTOR, residual_at if residual else 0, 0, low, high, y_at,
            thresholds_1, flips_1, E_1, levels_1_at if levels_1 else 0,
            thresholds_2, flips_2, E_2, levels_2_at if levels_2 else 0,
        )  # fmt: skip
        if y:
            copy_bytes(y + at * 4, y_at, 4 * lanes)
        if levels_1:
            copy_bytes(levels_1 + at, levels_1_at, lanes)
        if levels_2:
            copy_bytes(levels_2 + at, levels_2_at, lanes)

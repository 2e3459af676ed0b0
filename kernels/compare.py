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
from paconv.kernels.memory import copy_bytes, pointer, stack_buffer

__all__ = ["compare", "store_channel_last"]

_VECTOR = 4 * LANES
_PIXELS = 4  # finished at a time
_inline = njit(inline="always", error_model="numpy")
_i8, _i32, _i64, _f32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_words, _floats, _bytes = (ir.VectorType(kind, LANES) for kind in (_i32, _f32, _i8))


def _at(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic(prefer_literal=True)
def _count_levels(typingctx, pixels, values, thresholds, flips, E, levels, step):
    """levels (LANES,) uint8 of values (LANES,) float32, for a literal number of pixels.

    Addresses; values lie one after the other, levels `step` bytes apart, neither aligned; thresholds and flips are
    64-byte aligned.
    """
    if not isinstance(pixels, types.IntegerLiteral):
        return None
    count = pixels.literal_value

    def codegen(context, builder, signature, args):
        _, values, thresholds, flips, E, levels, step = args
        flip = builder.load(_at(builder, flips, _words), align=_VECTOR)
        signed, counts = [], []
        for p in range(count):
            raw = builder.load(_at(builder, builder.add(values, ir.Constant(_i64, p * _VECTOR)), _words), align=4)
            signed.append(builder.bitcast(builder.xor(raw, flip), _floats))
            counts.append(cgutils.alloca_once(builder, _words))
            builder.store(ir.Constant(_words, [0] * LANES), counts[-1])
        with cgutils.for_range(builder, E, intp=_i64) as loop:
            row = builder.add(thresholds, builder.mul(loop.index, ir.Constant(_i64, _VECTOR)))
            threshold = builder.load(_at(builder, row, _floats), align=_VECTOR)
            for value, reached in zip(signed, counts, strict=True):
                one = builder.sext(builder.fcmp_ordered(">=", value, threshold), _words)
                builder.store(builder.sub(builder.load(reached), one), reached)
        for p, reached in enumerate(counts):
            target = builder.add(levels, builder.mul(step, ir.Constant(_i64, p)))
            builder.store(builder.trunc(builder.load(reached), _bytes), _at(builder, target, _bytes), align=1)
        return context.get_dummy_value()

    return types.void(pixels, *[types.int64] * 6), codegen


@intrinsic(prefer_literal=True)
def _add_and_clip(typingctx, pixels, values, residual, step, low, high, y):
    """values = min(max(values + residual, low), high), and to y as well; for a literal number of pixels.

    Addresses of (LANES,) float32; values lie one after the other, 64-byte aligned; residual and y, 0 for none, `step`
    bytes apart without alignment.
    """
    if not isinstance(pixels, types.IntegerLiteral):
        return None
    count = pixels.literal_value

    def codegen(context, builder, signature, args):
        _, values, residual, step, low, high, y = args
        zero, results = ir.Constant(_i64, 0), []

        def bounds(bound):
            single = builder.insert_element(ir.Constant(_floats, ir.Undefined), bound, ir.Constant(_i32, 0))
            return builder.shuffle_vector(single, single, ir.Constant(_words, [0] * LANES))

        places = [builder.add(values, ir.Constant(_i64, p * _VECTOR)) for p in range(count)]
        with builder.if_then(builder.icmp_signed("!=", residual, zero)):
            for p, place in enumerate(places):
                source = builder.add(residual, builder.mul(step, ir.Constant(_i64, p)))
                total = builder.fadd(
                    builder.load(_at(builder, place, _floats), align=_VECTOR),
                    builder.load(_at(builder, source, _floats), align=4),
                )
                builder.store(total, _at(builder, place, _floats), align=_VECTOR)
        for place in places:
            value = builder.load(_at(builder, place, _floats), align=_VECTOR)
            for comparison, bound in (("<", bounds(low)), (">", bounds(high))):
                value = builder.select(builder.fcmp_ordered(comparison, value, bound), bound, value)
            builder.store(value, _at(builder, place, _floats), align=_VECTOR)
            results.append(value)
        with builder.if_then(builder.icmp_signed("!=", y, zero)):
            for p, value in enumerate(results):
                target = builder.add(y, builder.mul(step, ir.Constant(_i64, p)))
                builder.store(value, _at(builder, target, _floats), align=4)
        return context.get_dummy_value()

    return types.void(pixels, *[types.int64] * 3, types.float32, types.float32, types.int64), codegen


def compare(arguments, task):
    """PALevels: task t compares positions t*LEVEL_RUN on, all channels: x (B*H*W, C) float32 -> levels_1 uint8."""
    a = carray(arguments, (len(F),), np.int64)
    C, E, blocks = a[F.C], a[F.E_1], a[F.OB]
    first = np.int64(task) * LEVEL_RUN
    values_at, levels_at = stack_buffer(_VECTOR), stack_buffer(LANES)
    for position in range(first, min(first + LEVEL_RUN, a[F.B] * a[F.H] * a[F.W])):
        for block in range(blocks):
            c = block * LANES
            lanes = min(LANES, C - c)
            source, target = a[F.x] + (position * C + c) * 4, a[F.levels_1] + position * C + c
            row = 0 if a[F.v_rows] == 1 else block
            thresholds, flips = a[F.thresholds_1] + row * E * _VECTOR, a[F.flips_1] + row * _VECTOR
            if lanes == LANES:
                _count_levels(1, source, thresholds, flips, E, target, 0)
            else:
                copy_bytes(values_at, source, 4 * lanes)
                _count_levels(1, values_at, thresholds, flips, E, levels_at, 0)
                copy_bytes(target, levels_at, lanes)


@_inline
def store_channel_last(a, out_at, batch, group, b, first_pixel, count):
    """Finish `count` pixels of lane block b: Y, levels_1 and levels_2, those that are wanted.

    out_at: (count, LANES) float32, 64-byte aligned, what the convolution gave; overwritten.
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
    while q + _PIXELS <= count:
        values, at = out_at + q * _VECTOR, q * O
        residual_at, y_at = residual + at * 4 if residual else 0, y + at * 4 if y else 0
        _add_and_clip(_PIXELS, values, residual_at, 4 * O, low, high, y_at)
        if levels_1:
            _count_levels(_PIXELS, values, thresholds_1, flips_1, E_1, levels_1 + at, O)
        if levels_2:
            _count_levels(_PIXELS, values, thresholds_2, flips_2, E_2, levels_2 + at, O)
        q += _PIXELS
    while q < count:
        values, at = out_at + q * _VECTOR, q * O
        residual_at, y_at = residual + at * 4 if residual else 0, y + at * 4 if y else 0
        _add_and_clip(1, values, residual_at, 0, low, high, y_at)
        if levels_1:
            _count_levels(1, values, thresholds_1, flips_1, E_1, levels_1 + at, 0)
        if levels_2:
            _count_levels(1, values, thresholds_2, flips_2, E_2, levels_2 + at, 0)
        q += 1


@_inline
def _store_narrow(
    lanes, out_at, count, O, low, high, residual, y,
    thresholds_1, flips_1, E_1, levels_1, thresholds_2, flips_2, E_2, levels_2,
):  # fmt: skip
    """store_channel_last for a block of fewer than LANES channels: through buffers of whole vectors."""
    residual_at, levels_at = stack_buffer(_VECTOR), stack_buffer(LANES)
    for q in range(count):
        values, at = out_at + q * _VECTOR, q * O
        if residual:
            copy_bytes(residual_at, residual + at * 4, 4 * lanes)
        _add_and_clip(1, values, residual_at if residual else 0, 0, low, high, 0)
        if y:
            copy_bytes(y + at * 4, values, 4 * lanes)
        if levels_1:
            _count_levels(1, values, thresholds_1, flips_1, E_1, levels_at, 0)
            copy_bytes(levels_1 + at, levels_at, lanes)
        if levels_2:
            _count_levels(1, values, thresholds_2, flips_2, E_2, levels_at, 0)
            copy_bytes(levels_2 + at, levels_at, lanes)

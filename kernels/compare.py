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
_inline = njit(inline="always", error_model="numpy")
_i8, _i32, _i64, _f32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_words, _floats, _bytes = (ir.VectorType(kind, LANES) for kind in (_i32, _f32, _i8))


def _at(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def _count_levels(typingctx, values, thresholds, flips, E, levels):
    """levels (LANES,) uint8 of values (LANES,) float32, neither aligned; thresholds and flips 64-byte aligned."""

    def codegen(context, builder, signature, args):
        values, thresholds, flips, E, levels = args
        raw = builder.load(_at(builder, values, _words), align=4)
        flip = builder.load(_at(builder, flips, _words), align=_VECTOR)
        value = builder.bitcast(builder.xor(raw, flip), _floats)
        count = cgutils.alloca_once_value(builder, ir.Constant(_words, [0] * LANES))
        builder.store(ir.Constant(_words, [0] * LANES), count)
        with cgutils.for_range(builder, E, intp=_i64) as loop:
            row = builder.add(thresholds, builder.mul(loop.index, ir.Constant(_i64, _VECTOR)))
            reached = builder.fcmp_ordered(">=", value, builder.load(_at(builder, row, _floats), align=_VECTOR))
            builder.store(builder.sub(builder.load(count), builder.sext(reached, _words)), count)
        builder.store(builder.trunc(builder.load(count), _bytes), _at(builder, levels, _bytes), align=1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def _add_and_clip(typingctx, values, residual, low, high, y):
    """y = min(max(values + residual, low), high): addresses of (LANES,) float32; residual and y need no alignment."""

    def codegen(context, builder, signature, args):
        values, residual, low, high, y = args
        value = builder.load(_at(builder, values, _floats), align=_VECTOR)
        value = builder.fadd(value, builder.load(_at(builder, residual, _floats), align=4))
        for comparison, bound in (("<", low), (">", high)):
            single = builder.insert_element(ir.Constant(_floats, ir.Undefined), bound, ir.Constant(_i32, 0))
            bounds = builder.shuffle_vector(single, single, ir.Constant(_words, [0] * LANES))
            value = builder.select(builder.fcmp_ordered(comparison, value, bounds), bounds, value)
        builder.store(value, _at(builder, y, _floats), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 2, *[types.float32] * 2, types.int64), codegen


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
                _count_levels(source, thresholds, flips, E, target)
            else:
                copy_bytes(values_at, source, 4 * lanes)
                _count_levels(values_at, thresholds, flips, E, levels_at)
                copy_bytes(target, levels_at, lanes)


@_inline
def store_channel_last(a, out_at, batch, group, b, first_pixel, count):
    """Finish `count` pixels of lane block b: Y, levels_1 and levels_2, those that are wanted.

    out_at: (count, LANES) float32, 64-byte aligned, what the convolution gave; overwritten.
    """
    lanes = min(LANES, a[F.OG] - b * LANES)
    block = group * a[F.OB] + b
    clip = carray(pointer(a[F.clip]), (2,), np.float32)
    zeros_at, levels_at = stack_buffer(_VECTOR), stack_buffer(LANES)
    zeros = carray(pointer(zeros_at), (LANES,), np.float32)
    zeros[:] = 0
    E_1, E_2 = a[F.E_1], a[F.E_2]
    thresholds_1, flips_1 = a[F.thresholds_1] + block * E_1 * _VECTOR, a[F.flips_1] + block * _VECTOR
    thresholds_2, flips_2 = a[F.thresholds_2] + block * E_2 * _VECTOR, a[F.flips_2] + block * _VECTOR
    O, whole = a[F.O], lanes == LANES
    position = (batch * a[F.OH] * a[F.OW] + first_pixel) * O + group * a[F.OG] + b * LANES
    R, Y, L_1, L_2, low, high = a[F.residual], a[F.y], a[F.levels_1], a[F.levels_2], clip[0], clip[1]
    for q in range(count):
        values = out_at + q * _VECTOR
        residual = zeros_at
        if R:
            residual = R + position * 4
            if not whole:  # zeros past the last channel
                copy_bytes(zeros_at, residual, 4 * lanes)
                residual = zeros_at
        _add_and_clip(values, residual, low, high, values)
        if whole:
            if Y:
                copy_bytes(Y + position * 4, values, _VECTOR)
            if L_1:
                _count_levels(values, thresholds_1, flips_1, E_1, L_1 + position)
            if L_2:
                _count_levels(values, thresholds_2, flips_2, E_2, L_2 + position)
        else:
            if Y:
                copy_bytes(Y + position * 4, values, 4 * lanes)
            if L_1:
                _count_levels(values, thresholds_1, flips_1, E_1, levels_at)
                copy_bytes(L_1 + position, levels_at, lanes)
            if L_2:
                _count_levels(values, thresholds_2, flips_2, E_2, levels_at)
                copy_bytes(L_2 + position, levels_at, lanes)
        position += O

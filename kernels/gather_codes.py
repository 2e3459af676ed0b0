"""Gather level codes: compare activations with their endpoints and store the levels' digits, channel-last.

    level[b, c, h, w] = #{ e : sign_c * X[b, c, h, w] >= v[c, e] }
    words[b, g, h + PT, w + PL, cw, d]  =  digit d of level_codes[level[b, c, h, w]] of the channels c that share word
    cw sums[b, g, h + PT, w + PL, d]       =  sum over the group's channels of digit d, the digit of 0 taken off

A word holds four channels' digits of 8 bits (D = 1 or 2) or two channels' of 16 bits (D = 1), the first lowest. Window
padding is the shim's to fill: words with the digits of 0, sums with 0. Bits past the last channel are zero; their
weights are too. Pixels are taken in runs, as in kernels/gather.py; LANES rows (words and digits) of a run are collected
channel by channel in `rows` and then stored pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import GATHER_RUN, LANES, LOW_ZERO, F
from paconv.kernels.finish import transpose
from paconv.kernels.memory import pointer, stack_buffer

__all__ = ["gather_codes"]

_CHANNELS = 4  # most that share a word
_RUN_BYTES = 4 * GATHER_RUN
_X_BYTES = _CHANNELS * _RUN_BYTES
_ROWS_BYTES = (LANES + 1) * _RUN_BYTES
_SUMS_BYTES = 2 * _RUN_BYTES
_BLOCK_BYTES = 4 * LANES * LANES
_POSITIONS_BYTES = 8 * GATHER_RUN

_i32, _i64, _f32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_words, _floats = ir.VectorType(_i32, LANES), ir.VectorType(_f32, LANES)


def gather_codes(arguments, task):
    """Task (b*G + g)*gather_runs + run packs one run of pixels of one group, all its channels."""
    a = carray(arguments, (len(F),), np.int64)
    W, Wp, CG, CW, D, E = a[F.W], a[F.Wp], a[F.CG], a[F.CW], a[F.D], a[F.E]
    bits, pixels = a[F.digit_bits], a[F.H] * W
    shared = 32 // bits
    image, first = np.int64(task) // a[F.gather_runs], np.int64(task) % a[F.gather_runs] * GATHER_RUN
    count = min(GATHER_RUN, pixels - first)
    batch, group = image // a[F.G], image % a[F.G]
    row_bytes = CW * D * 4
    words_at = a[F.words] + image * a[F.Hp] * Wp * row_bytes
    image_sums = carray(pointer(a[F.sums] + image * a[F.Hp] * Wp * D * 4), (a[F.Hp] * Wp, D), np.int32)
    sign = carray(pointer(a[F.sign]), (a[F.sign_rows],), np.int8)
    coding = carray(pointer(a[F.coding]), (4,), np.float64)
    x_at, rows_at, sums_at = stack_buffer(_X_BYTES), stack_buffer(_ROWS_BYTES), stack_buffer(_SUMS_BYTES)
    block_at = stack_buffer(_BLOCK_BYTES)
    x_copy = carray(pointer(x_at), (_CHANNELS, GATHER_RUN), np.float32)
    sums = carray(pointer(sums_at), (2, GATHER_RUN), np.int32)
    block = carray(pointer(block_at), (LANES, LANES), np.uint32)
    positions = carray(pointer(stack_buffer(_POSITIONS_BYTES)), (GATHER_RUN,), np.int64)

    column, position = first % W, (first // W + a[F.PT]) * Wp + first % W + a[F.PL]
    for p in range(count):
        positions[p] = position
        column, position = column + 1, position + 1
        if column == W:
            column, position = 0, position + Wp - W
    for p in range(GATHER_RUN):
        sums[0, p] = -np.int32(np.int64(coding[3]) * CG)
        sums[1, p] = -np.int32(LOW_ZERO * CG)

    row = 0
    for cw in range(CW):
        channels = min(shared, CG - cw * shared)
        c = group * CG + cw * shared
        x, stride = a[F.x] + ((batch * a[F.C] + c) * pixels + first) * 4, pixels * 4
        if count < GATHER_RUN:
            for k in range(channels):
                tail = carray(pointer(x + k * stride), (count,), np.float32)
                for p in range(count):
                    x_copy[k, p] = tail[p]
            x, stride = x_at, np.int64(_RUN_BYTES)
        for d in range(D):
            _clear_row(rows_at + (row + d) * _RUN_BYTES)
        for k in range(channels):
            negative = np.int64(sign[0 if a[F.sign_rows] == 1 else c + k] < 0)
            endpoints = a[F.v] + (0 if a[F.v_rows] == 1 else c + k) * E * 4
            _code_channel(
                x + k * stride, negative, endpoints, a[F.level_codes], E, k * bits, D, rows_at + row * _RUN_BYTES
            )
        for d in range(D):
            _add_digits(rows_at + (row + d) * _RUN_BYTES, bits, sums_at + d * _RUN_BYTES)
        row += D
        if row == LANES or cw + 1 == CW:
            first_row = (cw + 1) * D - row
            for q in range(0, count, LANES):
                transpose(rows_at + q * 4, _RUN_BYTES, block_at)
                for p in range(q, min(q + LANES, count)):
                    target = words_at + positions[p] * row_bytes + first_row * 4
                    if row == LANES:
                        _copy_vector(block_at + (p - q) * 4 * LANES, target)
                    else:
                        words = carray(pointer(target), (row,), np.uint32)
                        for k in range(row):
                            words[k] = block[p - q, k]
            row = 0
    for p in range(count):
        for d in range(D):
            image_sums[positions[p], d] = sums[d, p]


def _at(builder, address, offset: int, kind):
    return builder.inttoptr(builder.add(address, ir.Constant(_i64, offset)), kind.as_pointer())


def _broadcast(builder, scalar, kind):
    undefined = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(_i32, 0))
    return builder.shuffle_vector(single, undefined, ir.Constant(_words, [0] * LANES))


_VECTORS = range(0, _RUN_BYTES, 4 * LANES)


@intrinsic
def _clear_row(typingctx, row):
    """Zero a run of words."""

    def codegen(context, builder, signature, args):
        for k in _VECTORS:
            builder.store(ir.Constant(_words, [0] * LANES), _at(builder, args[0], k, _words), align=64)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def _copy_vector(typingctx, source, target):
    """LANES words from an aligned place to one of words."""

    def codegen(context, builder, signature, args):
        vector = builder.load(_at(builder, args[0], 0, _words), align=64)
        builder.store(vector, _at(builder, args[1], 0, _words), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _add_digits(typingctx, row, bits, sums):
    """sums[p] += the digits in word p of the row: four unsigned of 8 bits, or two signed of 16 bits."""

    def codegen(context, builder, signature, args):
        row, bits, sums = args

        def constant(value: int):
            return ir.Constant(_words, [value] * LANES)

        def add(of) -> None:
            for k in _VECTORS:
                word = builder.load(_at(builder, row, k, _words), align=64)
                target = _at(builder, sums, k, _words)
                builder.store(builder.add(builder.load(target, align=64), of(word)), target, align=64)

        def of_bytes(word):
            mask = constant(0x00FF00FF)
            pairs = builder.add(builder.and_(word, mask), builder.and_(builder.lshr(word, constant(8)), mask))
            return builder.add(builder.and_(pairs, constant(0xFFFF)), builder.lshr(pairs, constant(16)))

        def of_shorts(word):
            low = builder.ashr(builder.shl(word, constant(16)), constant(16))
            return builder.add(low, builder.ashr(word, constant(16)))

        with builder.if_else(builder.icmp_signed("==", bits, ir.Constant(_i64, 8))) as (then, otherwise):
            with then:
                add(of_bytes)
            with otherwise:
                add(of_shorts)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), codegen


@intrinsic
def _code_channel(typingctx, x, negative, endpoints, codes, E, shift, D, rows):
    """Put one channel's run, shifted by `shift` bits, into the D rows at `rows`.

    x: (GATHER_RUN,) float32, read as -x if `negative` is 1; endpoints: (E,) float32; codes: (E+1,) uint32, digit 0 in
    the low half and, for D = 2, digit 1 in the high half; rows: (D, GATHER_RUN) uint32, 64-byte aligned. All int64.
    """

    def codegen(context, builder, signature, args):
        x, negative, endpoints, codes, E, shift, D, rows = args
        flip = _broadcast(builder, builder.shl(builder.trunc(negative, _i32), ir.Constant(_i32, 31)), _words)
        signed = []
        for k in _VECTORS:
            raw = builder.load(_at(builder, x, k, _words), align=4)
            signed.append(builder.bitcast(builder.xor(raw, flip), _floats))
        first = _broadcast(builder, builder.load(_at(builder, codes, 0, _i32), align=4), _words)
        found = [cgutils.alloca_once_value(builder, first) for _ in signed]
        for place in found:
            builder.store(first, place)
        with cgutils.for_range(builder, E, intp=_i64) as endpoint:
            offset = builder.mul(endpoint.index, ir.Constant(_i64, 4))
            v = _broadcast(
                builder, builder.load(_at(builder, builder.add(endpoints, offset), 0, _f32), align=4), _floats
            )
            code = builder.load(_at(builder, builder.add(codes, offset), 4, _i32), align=4)
            code = _broadcast(builder, code, _words)
            for place, value in zip(found, signed, strict=True):
                reached = builder.fcmp_ordered(">=", value, v)
                builder.store(builder.select(reached, code, builder.load(place)), place)
        shifts = _broadcast(builder, builder.trunc(shift, _i32), _words)
        sixteen, half = ir.Constant(_words, [16] * LANES), ir.Constant(_words, [0xFFFF] * LANES)

        def put(row: int, digit) -> None:
            for k, place in zip(_VECTORS, found, strict=True):
                target = _at(builder, rows, row * _RUN_BYTES + k, _words)
                value = builder.shl(digit(builder.load(place)), shifts)
                builder.store(builder.or_(builder.load(target, align=64), value), target, align=64)

        put(0, lambda code: builder.and_(code, half))
        with builder.if_then(builder.icmp_signed("==", D, ir.Constant(_i64, 2))):
            put(1, lambda code: builder.lshr(code, sixteen))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), codegen

"""Gather level codes from level indexes: each byte becomes the digits of its level, by a small table.

    words[b, g, h + PT, w + PL, cw, d]  =  digit d of level_codes[L[b, h, w, c]] of the channels c that share word cw
    sums[b, g, h + PT, w + PL, d]       =  sum over the group's channels of digit d, the digit of 0 taken off

in the formats of kernels/gather_codes.py. The table is small and levels ascend, so a code is chosen by E comparisons of
CHUNK channels at once. A level above E counts as E. Window padding is the shim's to fill; H x W, XSH and XSW are
as in kernels/gather.py.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import LEVEL_RUN, LOW_ZERO, F
from paconv.kernels.memory import copy_bytes, pointer, stack_buffer

__all__ = ["gather_level_codes"]

_CHUNK = 64
_DIGITS_BYTES = 2 * _CHUNK
_inline = njit(inline="always", error_model="numpy")


@intrinsic(prefer_literal=True)
def _choose(typingctx, bits, levels, codes, E, shift, target):
    """target[c] = bits shift.. of codes[levels[c]], `bits` (a literal, 8 or 16) of them, for CHUNK channels c.

    Addresses without alignment: levels (CHUNK,) uint8, codes (E+1,) uint32.
    """
    if not isinstance(bits, types.IntegerLiteral):
        return None
    digit = ir.IntType(bits.literal_value)

    def codegen(context, builder, signature, args):
        _, levels, codes, E, shift, target = args
        i8, i32, i64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
        one = ir.Constant(i64, 1)

        def broadcast(value):
            kind = ir.VectorType(value.type, _CHUNK)
            single = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(i32, 0))
            return builder.shuffle_vector(single, single, ir.Constant(ir.VectorType(i32, _CHUNK), [0] * _CHUNK))

        def code(level):
            address = builder.add(codes, builder.shl(level, ir.Constant(i64, 2)))
            word = builder.load(builder.inttoptr(address, i32.as_pointer()), align=4)
            return broadcast(builder.trunc(builder.lshr(word, builder.trunc(shift, i32)), digit))

        found = builder.load(builder.inttoptr(levels, ir.VectorType(i8, _CHUNK).as_pointer()), align=1)
        vector = ir.VectorType(digit, _CHUNK)
        chosen = cgutils.alloca_once(builder, vector)
        builder.store(code(ir.Constant(i64, 0)), chosen)
        with cgutils.for_range(builder, E, intp=i64) as loop:
            above = builder.icmp_unsigned(">", found, broadcast(builder.trunc(loop.index, i8)))
            builder.store(builder.select(above, code(builder.add(loop.index, one)), builder.load(chosen)), chosen)
        builder.store(builder.load(chosen), builder.inttoptr(target, vector.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(bits, *[types.int64] * 5), codegen


@_inline
def _sum_bytes(digits_at, count):
    digits = carray(pointer(digits_at), (count,), np.uint8)
    total = np.int32(0)
    for k in range(count):
        total += np.int32(digits[k])
    return total


@_inline
def _sum_words(digits_at, count):
    digits = carray(pointer(digits_at), (count,), np.int16)
    total = np.int32(0)
    for k in range(count):
        total += np.int32(digits[k])
    return total


def gather_level_codes(arguments, task):
    """Task (b*G + g)*gather_runs + run packs LEVEL_RUN positions of one group."""
    a = carray(arguments, (len(F),), np.int64)
    W, CG, D, E, codes = a[F.W], a[F.CG], a[F.D], a[F.E], a[F.level_codes]
    image, first = np.int64(task) // a[F.gather_runs], np.int64(task) % a[F.gather_runs] * LEVEL_RUN
    last = min(first + LEVEL_RUN, a[F.H] * W)
    batch, group = image // a[F.G], image % a[F.G]
    positions, word_bytes = a[F.Hp] * a[F.Wp], a[F.CW] * D * 4
    sums = carray(pointer(a[F.sums] + image * positions * D * 4), (positions, D), np.int32)
    coding = carray(pointer(a[F.coding]), (4,), np.float64)
    levels_at, digits_at, low_at = stack_buffer(_CHUNK), stack_buffer(_DIGITS_BYTES), stack_buffer(_CHUNK)
    zero, low_zero = np.int32(np.int64(coding[3]) * CG), np.int32(LOW_ZERO * CG)
    row, column = first // W, first % W
    for _ in range(first, last):
        source_row = batch * a[F.XH] + row * a[F.XSH]
        source = a[F.levels] + (source_row * a[F.XW] + column * a[F.XSW]) * a[F.C] + group * CG
        place = (row + a[F.PT]) * a[F.Wp] + column + a[F.PL]
        target = a[F.words] + (image * positions + place) * word_bytes
        high, low = -zero, -low_zero
        for c in range(0, CG, _CHUNK):
            channels = min(_CHUNK, CG - c)
            levels = source + c
            if channels < _CHUNK:
                copy_bytes(levels_at, levels, channels)
                levels = levels_at
            if a[F.digit_bits] == 16:
                _choose(16, levels, codes, E, 0, digits_at)
                high += _sum_words(digits_at, channels)
                copy_bytes(target + 2 * c, digits_at, 2 * channels)
            else:
                _choose(8, levels, codes, E, 0, digits_at)
                high += _sum_bytes(digits_at, channels)
                if D == 1:
                    copy_bytes(target + c, digits_at, channels)
                else:
                    _choose(8, levels, codes, E, 16, low_at)
                    low += _sum_bytes(low_at, channels)
                    for k in range(0, channels, 4):  # a word of each in turn
                        copy_bytes(target + 2 * (c + k), digits_at + k, min(4, channels - k))
                        copy_bytes(target + 2 * (c + k) + 4, low_at + k, min(4, channels - k))
        sums[place, 0] = high
        if D == 2:
            sums[place, 1] = low
        column += 1
        if column == W:
            row, column = row + 1, 0

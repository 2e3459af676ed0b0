"""Gather level codes from level indexes: each byte becomes the digits of its level, by a small table.

    words[b, g, h + PT, w + PL, cw, d] byte k  =  digit d of level_codes[L[b, h, w, g*CG + 4*cw + k]]
    sums[b, g, h + PT, w + PL, d]  =  sum over the group's channels of digit d, the digit of 0 taken off

as in kernels/gather_codes.py. A level above E counts as E. Window padding is the shim's to fill.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import CODING_HEAD, LEVEL_RUN, LOW_ZERO, QUAD, F
from paconv.kernels.memory import copy_bytes, pointer, stack_buffer

__all__ = ["gather_level_codes"]

_CHUNK = 64
_DIGITS_BYTES = 2 * _CHUNK


@intrinsic
def _digits(typingctx, levels, codes, E, digit, target):
    """target (64,) uint8 = digit `digit` of codes[levels], levels (64,) uint8; codes (E+1,) uint32. No alignment."""

    def codegen(context, builder, signature, args):
        levels, codes, E, digit, target = args
        i8, i32, i64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
        vector = ir.VectorType(i8, _CHUNK)
        zero = ir.Constant(ir.VectorType(i32, _CHUNK), [0] * _CHUNK)

        def broadcast(value):
            single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(i32, 0))
            return builder.shuffle_vector(single, single, zero)

        def code(level):
            address = builder.add(codes, builder.add(builder.mul(level, ir.Constant(i64, 4)), builder.shl(digit, one)))
            return broadcast(builder.load(builder.inttoptr(address, i8.as_pointer()), align=1))

        one = ir.Constant(i64, 1)
        found = builder.load(builder.inttoptr(levels, vector.as_pointer()), align=1)
        place = cgutils.alloca_once(builder, vector)
        builder.store(code(ir.Constant(i64, 0)), place)
        with cgutils.for_range(builder, E, intp=i64) as loop:
            above = builder.icmp_unsigned(">", found, broadcast(builder.trunc(loop.index, i8)))
            chosen = builder.select(above, code(builder.add(loop.index, one)), builder.load(place))
            builder.store(chosen, place)
        builder.store(builder.load(place), builder.inttoptr(target, vector.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


def gather_level_codes(arguments, task):
    """Task (b*G + g)*gather_runs + run packs LEVEL_RUN positions of one group."""
    a = carray(arguments, (len(F),), np.int64)
    W, CG, CW, D, E = a[F.W], a[F.CG], a[F.CW], a[F.D], a[F.E]
    image, first = np.int64(task) // a[F.gather_runs], np.int64(task) % a[F.gather_runs] * LEVEL_RUN
    last = min(first + LEVEL_RUN, a[F.H] * W)
    batch, group = image // a[F.G], image % a[F.G]
    positions = a[F.Hp] * a[F.Wp]
    words = carray(pointer(a[F.words] + image * positions * CW * D * 4), (positions, CW * D), np.uint32)
    sums = carray(pointer(a[F.sums] + image * positions * 8), (positions, 2), np.int32)
    coding = carray(pointer(a[F.coding]), (CODING_HEAD,), np.float64)
    levels_at, digits_at = stack_buffer(_CHUNK), stack_buffer(_DIGITS_BYTES)
    digits = carray(pointer(digits_at), (2, _CHUNK), np.uint8)
    quads = carray(pointer(digits_at), (2, _CHUNK // QUAD), np.uint32)
    high_zero, low_zero = np.int32(np.int64(coding[4]) * CG), np.int32(LOW_ZERO * CG)
    row, column = first // W, first % W
    for position in range(first, last):
        levels = a[F.levels] + (batch * a[F.H] * W + position) * a[F.C] + group * CG
        target = (row + a[F.PT]) * a[F.Wp] + column + a[F.PL]
        high, low = np.int32(0), np.int32(0)
        for c in range(0, CG, _CHUNK):
            channels = min(_CHUNK, CG - c)
            source = levels + c
            if channels < _CHUNK:
                copy_bytes(levels_at, source, channels)
                source = levels_at
            for d in range(2):
                _digits(source, a[F.level_codes], E, d, digits_at + d * _CHUNK)
                for k in range(channels, _CHUNK):
                    digits[d, k] = 0
            for k in range(_CHUNK):
                high += np.int32(digits[0, k])
                low += np.int32(digits[1, k])
            first_word = c // QUAD * D
            for k in range(-(-channels // QUAD)):
                for d in range(D):
                    words[target, first_word + k * D + d] = quads[d, k]
        sums[target, 0], sums[target, 1] = high - high_zero, low - low_zero
        column += 1
        if column == W:
            row, column = row + 1, 0

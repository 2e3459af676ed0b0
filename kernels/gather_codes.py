"""Gather level codes: compare activations with their endpoints and store the level's digits, channel-last.

    level[b, c, h, w] = #{ e : sign_c * X[b, c, h, w] >= v[c, e] }
    words[b, g, h + PT, w + PL, cw, d] byte k  =  digit d of level_codes[level[b, g*CG + 4*cw + k, h, w]]
    sums[b, g, h + PT, w + PL, d]  =  sum over the group's channels of digit d, the digit of 0 taken off

Both digits are summed, whether words hold one (D = 1) or both. Window padding is the shim's to fill: words with the
digits of 0, sums with 0. Bytes past the last channel are zero; their weights are too.
Pixels are taken in runs, as in kernels/gather.py.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import CODING_HEAD, GATHER_RUN, LANES, LOW_ZERO, QUAD, F
from paconv.kernels.memory import pointer, stack_buffer

__all__ = ["gather_codes"]

_RUN_BYTES = 4 * GATHER_RUN
_SLOTS = 4  # words of digit 0, of digit 1; sums of digit 0, of digit 1
_SLOTS_BYTES = _SLOTS * _RUN_BYTES


def gather_codes(arguments, task):
    """Task (b*G + g)*gather_runs + run packs one run of pixels of one group, all its channels."""
    a = carray(arguments, (len(F),), np.int64)
    W, Wp, CG, CW, D, E = a[F.W], a[F.Wp], a[F.CG], a[F.CW], a[F.D], a[F.E]
    pixels = a[F.H] * W
    image, first = np.int64(task) // a[F.gather_runs], np.int64(task) % a[F.gather_runs] * GATHER_RUN
    count = min(GATHER_RUN, pixels - first)
    batch, group = image // a[F.G], image % a[F.G]
    positions = a[F.Hp] * Wp
    words = carray(pointer(a[F.words] + image * positions * CW * D * 4), (positions, CW, D), np.uint32)
    sums = carray(pointer(a[F.sums] + image * positions * 8), (positions, 2), np.int32)
    sign = carray(pointer(a[F.sign]), (a[F.sign_rows],), np.int8)
    coding = carray(pointer(a[F.coding]), (CODING_HEAD,), np.float64)
    slots_at, run_at = stack_buffer(_SLOTS_BYTES), stack_buffer(_RUN_BYTES)
    slots = carray(pointer(slots_at), (_SLOTS, GATHER_RUN), np.int32)
    run = carray(pointer(run_at), (GATHER_RUN,), np.float32)
    high_zero = np.int32(np.int64(coding[4]) * CG)
    low_zero = np.int32(LOW_ZERO * CG)
    for p in range(GATHER_RUN):
        slots[2, p] = -high_zero
        slots[3, p] = -low_zero
    row, start = first // W + a[F.PT], first % W + a[F.PL]
    for cw in range(CW):
        for p in range(GATHER_RUN):
            slots[0, p] = 0
            slots[1, p] = 0
        for k in range(min(QUAD, CG - cw * QUAD)):
            c = group * CG + cw * QUAD + k
            x = a[F.x] + ((batch * a[F.C] + c) * pixels + first) * 4
            if count < GATHER_RUN:
                tail = carray(pointer(x), (count,), np.float32)
                for p in range(count):
                    run[p] = tail[p]
                x = run_at
            negative = np.int64(sign[0 if a[F.sign_rows] == 1 else c] < 0)
            endpoints = a[F.v] + (0 if a[F.v_rows] == 1 else c) * E * 4
            _code_channel(x, negative, endpoints, a[F.level_codes], E, np.int64(8 * k), slots_at)
        column, position = start, row * Wp + start
        if D == 2:
            for p in range(count):
                words[position, cw, 0] = slots[0, p]
                words[position, cw, 1] = slots[1, p]
                column, position = column + 1, position + 1
                if column == W + a[F.PL]:
                    column, position = a[F.PL], position + Wp - W
        else:
            for p in range(count):
                words[position, cw, 0] = slots[0, p]
                column, position = column + 1, position + 1
                if column == W + a[F.PL]:
                    column, position = a[F.PL], position + Wp - W
    column, position = start, row * Wp + start
    for p in range(count):
        sums[position, 0], sums[position, 1] = slots[2, p], slots[3, p]
        column, position = column + 1, position + 1
        if column == W + a[F.PL]:
            column, position = a[F.PL], position + Wp - W


@intrinsic
def _code_channel(typingctx, x, negative, endpoints, codes, E, shift, slots):
    """Put one channel's run into byte `shift`/8 of the words in `slots`, and add its digits to the sums.

    x: (GATHER_RUN,) float32, read as -x if `negative` is 1; endpoints: (E,) float32; codes: (E+1,) uint32, digit 0 in
    bits 0..7 and digit 1 in bits 16..23; slots: (4, GATHER_RUN) int32, 64-byte aligned. All arguments int64.
    """

    def codegen(context, builder, signature, args):
        x, negative, endpoints, codes, E, shift, slots = args
        i32, i64, f32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
        words, floats = ir.VectorType(i32, LANES), ir.VectorType(f32, LANES)
        vectors = range(GATHER_RUN // LANES)

        def at(address, offset, kind):
            return builder.inttoptr(builder.add(address, offset), kind.as_pointer())

        def const(value: int):
            return ir.Constant(i64, value)

        def broadcast(scalar, kind):
            undefined = ir.Constant(kind, ir.Undefined)
            single = builder.insert_element(undefined, scalar, ir.Constant(i32, 0))
            return builder.shuffle_vector(single, undefined, ir.Constant(words, [0] * LANES))

        flip = broadcast(builder.shl(builder.trunc(negative, i32), ir.Constant(i32, 31)), words)
        signed = []
        for k in vectors:
            raw = builder.load(at(x, const(4 * LANES * k), words), align=4)
            signed.append(builder.bitcast(builder.xor(raw, flip), floats))
        first = broadcast(builder.load(at(codes, const(0), i32), align=4), words)
        found = [cgutils.alloca_once_value(builder, first) for _ in vectors]
        for place in found:
            builder.store(first, place)
        with cgutils.for_range(builder, E, intp=i64) as endpoint:
            offset = builder.mul(endpoint.index, const(4))
            v = broadcast(builder.load(at(endpoints, offset, f32), align=4), floats)
            code = broadcast(builder.load(at(codes, builder.add(offset, const(4)), i32), align=4), words)
            for place, value in zip(found, signed, strict=True):
                reached = builder.fcmp_ordered(">=", value, v)
                builder.store(builder.select(reached, code, builder.load(place)), place)
        byte = ir.Constant(words, [255] * LANES)
        sixteen = ir.Constant(words, [16] * LANES)
        shifts = broadcast(builder.trunc(shift, i32), words)
        for k, place in enumerate(found):
            code = builder.load(place)
            digits = (builder.and_(code, byte), builder.lshr(code, sixteen))
            for d, digit in enumerate(digits):
                for slot, value in ((d, builder.shl(digit, shifts)), (2 + d, digit)):
                    target = at(slots, const(4 * (slot * GATHER_RUN + k * LANES)), words)
                    builder.store(builder.add(builder.load(target, align=64), value), target, align=64)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), codegen

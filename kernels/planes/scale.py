"""Weigh: from the counts of a pixel tile to real numbers, for a whole tile.

    out[p] = scale * ( offsets[p] + sum_k phi[k] * counts[p, k] ) + bias,      k = i*N + j
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import LANES

__all__ = ["weigh_tile"]

_SIZE = 4 * LANES
_i64 = ir.IntType(64)
_counts, _floats = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.FloatType(), LANES)


@intrinsic
def weigh_tile(typingctx, out, has_offsets, scale, bias, counts, phi, pairs, pixels):
    """Addresses: out (pixels, LANES) float32, which holds the offsets before if has_offsets is not 0; scale and bias
    (LANES,) float32; counts (pixels, pairs, LANES) int32; phi (pairs, LANES) float32; all 64-byte aligned.

    Four partial sums by k mod 4, the offset in the first, each product rounded before it is added, then
    (s0 + s1) + (s2 + s3).
    """

    def codegen(context, builder, signature, args):
        out, has_offsets, scale, bias, counts, phi, pairs, pixels = args

        def const(value: int):
            return ir.Constant(_i64, value)

        def at(address, kind):
            return builder.inttoptr(address, kind.as_pointer())

        factors, addends = (builder.load(at(address, _floats), align=_SIZE) for address in (scale, bias))
        without = builder.icmp_signed("==", has_offsets, const(0))
        zero = ir.Constant(_floats, [0.0] * LANES)
        whole = builder.and_(pairs, const(~3))
        step = builder.mul(pairs, const(_SIZE))
        with cgutils.for_range(builder, pixels, intp=_i64) as pixel:
            start = builder.add(counts, builder.mul(pixel.index, step))
            target = at(builder.add(out, builder.mul(pixel.index, const(_SIZE))), _floats)
            offset = builder.select(without, zero, builder.load(target, align=_SIZE))

            def term(k, start=start):
                offset = builder.mul(k, const(_SIZE))
                count = builder.load(at(builder.add(start, offset), _counts), align=_SIZE)
                factor = builder.load(at(builder.add(phi, offset), _floats), align=_SIZE)
                return builder.fmul(factor, builder.sitofp(count, _floats))

            sums = [cgutils.alloca_once(builder, _floats) for _ in range(4)]
            for partial, first in zip(sums, (offset, zero, zero, zero), strict=True):
                builder.store(first, partial)
            with cgutils.for_range(builder, builder.lshr(whole, const(2)), intp=_i64) as loop:
                for r, partial in enumerate(sums):
                    k = builder.add(builder.shl(loop.index, const(2)), const(r))
                    builder.store(builder.fadd(builder.load(partial), term(k)), partial)
            for r, partial in enumerate(sums[:3]):
                k = builder.add(whole, const(r))
                with builder.if_then(builder.icmp_signed("<", k, pairs)):
                    builder.store(builder.fadd(builder.load(partial), term(k)), partial)
            s0, s1, s2, s3 = (builder.load(partial) for partial in sums)
            total = builder.fadd(builder.fadd(s0, s1), builder.fadd(s2, s3))
            builder.store(builder.fadd(builder.fmul(factors, total), addends), target, align=_SIZE)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), codegen

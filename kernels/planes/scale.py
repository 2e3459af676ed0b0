"""Scale: from the counts of a register block of pixels to real numbers.

    S[o] = sum_ij k_i l_j * count[i, j]                                     PA: k_0 = l_0 = 0
           + k_0 * sum_j l_j |V_j|                                          where alpha_0 is not 0
           + sum over the window's taps inside the image of offset_taps[o, tap]        where beta_0 is not 0
    Y[o] = scale_o * S[o] + bias_o

in float32, scale_o with the units of k and l in it (kernels/codes/choose_codes.py). On the grid all terms of S are
integers, and so is S: exact where their magnitudes add up to less than MAX_EXACT_FLOAT, and then that of level codes.
Off the grid, where k and l are alpha and beta, the sum goes in one order: the first line is four partial
sums over n = i*N + j, by n mod 4 (the other two lines, kernels/planes/offsets.py's, start the first), added as
(s0 + s1) + (s2 + s3); each product is rounded before it is added (no fused multiply-add). So Y is the same bit
for bit for any register block, thread count and CPU. Counts are below 2**24: exact as float32.

Error bound off the grid: with t terms, |Y - exact| <= gamma_{t+5} * (sum of the absolute terms, times scale) +
eps |bias|, gamma_k = k*eps/(1 - k*eps), eps = 2**-24: one rounding for phi, one for each product, at most t for the
additions, two for scale and bias.
"""

from __future__ import annotations

from numba.core import cgutils

from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.vectors import FLOATS, VECTOR, WORDS, const, element, less, load, plus, store

__all__ = ["scale_counts"]


@emitted
def scale_counts(builder, out, has_offsets, scale, bias, counts, phi, pairs, pixels):
    """Addresses: out (pixels, LANES) float32, which holds the offsets before if has_offsets is not 0; scale and bias
    (LANES,) float32; counts (pixels, pairs, LANES) int32; phi (pairs, LANES) float32; all 64-byte aligned.

    Four partial sums by k mod 4, the offset in the first, each product rounded before it is added, then
    (s0 + s1) + (s2 + s3).
    """
    factors, addends = (load(builder, address, FLOATS) for address in (scale, bias))
    without, zero = builder.icmp_signed("==", has_offsets, const(0)), const(0.0, FLOATS)
    whole, step = builder.and_(pairs, const(~3)), builder.mul(pairs, const(VECTOR))
    with turns(builder, pixels) as pixel:
        start = builder.add(counts, builder.mul(pixel.index, step))
        target = plus(builder, out, pixel.index, VECTOR)
        offset = builder.select(without, zero, load(builder, target, FLOATS))

        def term(k, start=start):
            count, factor = element(builder, start, k, WORDS), element(builder, phi, k, FLOATS)
            return builder.fmul(factor, builder.sitofp(count, FLOATS))

        sums = [cgutils.alloca_once(builder, FLOATS) for _ in range(4)]
        for partial, first in zip(sums, (offset, zero, zero, zero), strict=True):
            builder.store(first, partial)
        with turns(builder, builder.lshr(whole, const(2))) as loop:
            for r, partial in enumerate(sums):
                k = builder.add(builder.shl(loop.index, const(2)), const(r))
                builder.store(builder.fadd(builder.load(partial), term(k)), partial)
        for r, partial in enumerate(sums[:3]):
            k = builder.add(whole, const(r))
            with builder.if_then(less(builder, k, pairs)):
                builder.store(builder.fadd(builder.load(partial), term(k)), partial)
        s0, s1, s2, s3 = (builder.load(partial) for partial in sums)
        total = builder.fadd(builder.fadd(s0, s1), builder.fadd(s2, s3))
        store(builder, builder.fadd(builder.fmul(factors, total), addends), target)

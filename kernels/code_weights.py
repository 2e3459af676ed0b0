"""Prepare the weights as level codes, once per node (kernels/coding.py has the algebra).

    words[g, b, (kh*KW + kw)*CW + cw, d, lane] byte k  =  digit d of w[o, 4*cw + k, kh, kw],  o = g*OG + b*LANES + lane

digit 0 is w_hi, digit 1 (where D = 2) w_lo. With zero = what stands for activation 0 (`coding[4]` and LOW_ZERO):

    phi[o, 0] = scale p q,  phi[o, 1] = scale p q r                    (D = 2: high products, mixed products)
    zero_dots[o, 0] = zero sum w_hi,  zero_dots[o, 1] = LOW_ZERO sum w_hi + zero sum w_lo
    base[o]         = bias
    correction[o, 0] = scale q mean dw,  correction[o, 1] = scale (q r mean dw + p q r^2 mean w_lo)     for D = 2
    correction[o, 0] = scale q mean dw,  correction[o, 1] = scale q r mean w                            for D = 1

where dw = w - p (w_hi + r w_lo), without w_lo for D = 1, and means go over the window. Each is computed in float64 and
narrowed once. Lanes past the last output channel stay zero. A code without a mask is reported in the error slot.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from paconv.kernels.arguments import CODING_HEAD, LANES, LOW_ZERO, QUAD, F
from paconv.kernels.coding import encode, level_value
from paconv.kernels.memory import pointer

__all__ = ["prepare_codes"]


def prepare_codes(arguments, task):
    """Task g*OB + b prepares lane block b of group g. Expects weight_words, phi, ... zeroed, and `coding` filled."""
    a = carray(arguments, (len(F),), np.int64)
    M, D, CG, CW, taps = a[F.M], a[F.D], a[F.CG], a[F.CW], a[F.KH] * a[F.KW]
    block = np.int64(task)
    group, first_lane = block // a[F.OB], (block % a[F.OB]) * LANES
    first = group * a[F.OG] + first_lane
    codes = carray(pointer(a[F.codes]), (a[F.R], a[F.code_bytes]), np.uint8)
    masks = carray(pointer(a[F.weight_masks]), (a[F.weight_codes],), np.uint8)
    alpha = carray(pointer(a[F.alpha]), (a[F.alpha_rows], M + 1), np.float32)
    scale = carray(pointer(a[F.scale]), (a[F.O],), np.float32)
    bias = carray(pointer(a[F.bias]), (a[F.O],), np.float32)
    coding = carray(pointer(a[F.coding]), (CODING_HEAD + a[F.alpha_rows],), np.float64)
    blocks = a[F.G] * a[F.OB]
    words = carray(pointer(a[F.weight_words]), (blocks, taps, CW, D, LANES), np.uint32)
    phi = carray(pointer(a[F.phi]), (blocks, D, LANES), np.float32)
    zero_dots = carray(pointer(a[F.zero_dots]), (blocks, 2, LANES), np.int32)
    base = carray(pointer(a[F.base]), (blocks, LANES), np.float32)
    correction = carray(pointer(a[F.correction]), (blocks, 2, LANES), np.float32)
    q, r, zero = coding[0], coding[1], coding[4]

    for lane in range(min(LANES, a[F.OG] - first_lane)):
        o = first + lane
        row = 0 if a[F.alpha_rows] == 1 else o
        p, factor = coding[CODING_HEAD + row], np.float64(scale[o])
        sum_hi, sum_lo, sum_error, sum_value = np.float64(0), np.float64(0), np.float64(0), np.float64(0)
        for tap in range(taps):
            for c in range(CG):
                k = (o * CG + c) * taps + tap
                code = np.int64(0)
                for bit in range(a[F.R]):
                    code |= ((np.int64(codes[bit, k >> 3]) >> (k & 7)) & 1) << bit
                if code >= a[F.weight_codes]:
                    a[F.error] = 1 + k
                    code = 0
                value = level_value(alpha[row], np.int64(masks[code]), M)
                hi, lo = encode(value, p, r)
                if D == 1:
                    lo = np.float64(0)
                shift = np.uint32(8 * (c % QUAD))
                words[block, tap, c // QUAD, 0, lane] |= np.uint32(np.int64(hi) & 255) << shift
                if D == 2:
                    words[block, tap, c // QUAD, 1, lane] |= np.uint32(np.int64(lo) & 255) << shift
                sum_hi, sum_lo, sum_value = sum_hi + hi, sum_lo + lo, sum_value + value
                sum_error += value - p * (hi + r * lo)
        window = np.float64(CG * taps)
        phi[block, 0, lane] = factor * p * q
        correction[block, 0, lane] = factor * q * sum_error / window
        zero_dots[block, 0, lane] = np.int32(zero * sum_hi)
        if D == 2:
            phi[block, 1, lane] = factor * p * q * r
            zero_dots[block, 1, lane] = np.int32(LOW_ZERO * sum_hi + zero * sum_lo)
            correction[block, 1, lane] = factor * (q * r * sum_error + p * q * r * r * sum_lo) / window
        else:
            correction[block, 1, lane] = factor * q * r * sum_value / window
        base[block, lane] = bias[o]

"""Prepare the weights as level codes, once per node (kernels/coding.py has the algebra).

    words[g, b, (kh*KW + kw)*CW + cw, d, lane]  =  digit d of w[o, c, kh, kw] of the channels c that share word cw,
                                                   o = g*OG + b*LANES + lane

digit 0 is w_hi, digit 1 (where D = 2) w_lo. With zero = what stands for activation 0 (`coding[3]` and LOW_ZERO):

    phi[o, 0] = scale p q,  phi[o, 1] = scale p q r                    (high products, mixed products)
    start[o, 0] = -zero sum w_hi,  start[o, 1] = -(LOW_ZERO sum w_hi + zero sum w_lo)
    base[o]         = bias
    correction[o, 0] = scale q mean dw,  correction[o, 1] = scale (q r mean dw + p q r^2 mean w_lo)

where dw = w - p (w_hi + r w_lo), and means go over the window. Each is computed in float64 and narrowed once. Lanes
past the last output channel stay zero. A code without a mask is reported in the error slot.

For digits of 16 bits, span_sums[g, b, k] is the largest magnitude of a sum of products over a span of MIN_SPAN << k
words (kernels/accumulate_codes.py), whatever the activations: with codes from -l to u, l, u >= 0, and the span's
positive weights adding up to P, its negative ones to -Q, sums lie within +-max(P u + Q l, Q u + P l).
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import CODING_HEAD, LANES, LOW_ZERO, MAX_LEVELS, MIN_SPAN, SPANS, F
from paconv.kernels.coding import encode, level_value
from paconv.kernels.memory import pointer, stack_buffer
from paconv.kernels.unpack import UNPACKED, unpack

__all__ = ["prepare_codes"]

_function = njit(error_model="numpy")
_TABLE_BYTES = 8 * MAX_LEVELS
_ERRORS_BYTES = 8 * MAX_LEVELS
_SPAN_LANES_BYTES = 4 * LANES * SPANS


@_function
def _prepare_lane(arguments, block, lane, o):
    """Words and factors of output channel o."""
    a = carray(arguments, (len(F),), np.int64)
    M, D, CG, CW, taps, bits = a[F.M], a[F.D], a[F.CG], a[F.CW], a[F.KH] * a[F.KW], a[F.digit_bits]
    codes = carray(pointer(a[F.codes]), (a[F.R], a[F.code_bytes]), np.uint8)
    masks = carray(pointer(a[F.weight_masks]), (a[F.weight_codes],), np.uint8)
    alpha = carray(pointer(a[F.alpha]), (a[F.alpha_rows], M + 1), np.float32)
    scale = carray(pointer(a[F.scale]), (a[F.O],), np.float32)
    bias = carray(pointer(a[F.bias]), (a[F.O],), np.float32)
    coding = carray(pointer(a[F.coding]), (CODING_HEAD + a[F.alpha_rows],), np.float64)
    blocks = a[F.G] * a[F.OB]
    phi = carray(pointer(a[F.phi]), (blocks, D, LANES), np.float32)
    start = carray(pointer(a[F.start]), (blocks, D, LANES), np.int32)
    base = carray(pointer(a[F.base]), (blocks, LANES), np.float32)
    correction = carray(pointer(a[F.correction]), (blocks, D, LANES), np.float32)
    table = carray(pointer(stack_buffer(_TABLE_BYTES)), (MAX_LEVELS, 2), np.int32)
    errors = carray(pointer(stack_buffer(_ERRORS_BYTES)), (MAX_LEVELS,), np.float64)
    counts = carray(pointer(stack_buffer(_ERRORS_BYTES)), (MAX_LEVELS,), np.int64)
    unpacked = stack_buffer(UNPACKED)
    codes_of_eight = carray(pointer(unpacked), (UNPACKED // 8,), np.uint64)
    code_of = carray(pointer(unpacked), (UNPACKED,), np.uint8)
    q, r, zero = coding[0], coding[1], coding[3]
    row = 0 if a[F.alpha_rows] == 1 else o
    p, factor = coding[CODING_HEAD + row], np.float64(scale[o])

    for code in range(a[F.weight_codes]):
        value = level_value(alpha[row], np.int64(masks[code]), M)
        hi, lo = encode(value, p, r, D)
        table[code, 0], table[code, 1] = np.int64(hi), np.int64(lo)
        errors[code] = value - p * (hi + r * lo)
        counts[code] = 0

    # bytes or 16-bit digits of one lane lie LANES words apart; those of a tap CW words
    digit_bytes, shared = bits // 8, 32 // bits
    digits = a[F.weight_words] + (block * taps * CW * D * LANES + lane) * 4
    first, window = o * CG * taps, CG * taps
    tap, within, word = 0, 0, digits
    done = 0
    while done < window:
        skip, count = unpack(codes, first + done, window - done, codes_of_eight)
        for k in range(skip, skip + count):
            code = np.int64(code_of[k])
            if code >= a[F.weight_codes]:
                a[F.error] = 1 + first + done + k - skip
                code = 0
            counts[code] += 1
            at = word + tap * CW * D * LANES * 4 + within * digit_bytes
            if bits == 16:
                carray(pointer(at), (1,), np.int16)[0] = np.int16(table[code, 0])
            else:
                carray(pointer(at), (1,), np.int8)[0] = np.int8(table[code, 0])
                if D == 2:
                    carray(pointer(at + LANES * 4), (1,), np.int8)[0] = np.int8(table[code, 1])
            tap += 1
            if tap == taps:
                tap, within = 0, within + 1
                if within == shared:
                    within, word = 0, word + D * LANES * 4
        done += count

    sum_hi, sum_lo, sum_error = np.int64(0), np.int64(0), np.float64(0)
    for code in range(a[F.weight_codes]):
        sum_hi += counts[code] * table[code, 0]
        sum_lo += counts[code] * table[code, 1]
        sum_error += counts[code] * errors[code]
    mean_error, mean_lo = sum_error / window, np.float64(sum_lo) / window
    base[block, lane] = bias[o]
    phi[block, 0, lane] = factor * p * q
    start[block, 0, lane] = np.int32(-np.int64(zero) * sum_hi)
    correction[block, 0, lane] = factor * q * mean_error
    if D == 2:
        phi[block, 1, lane] = factor * p * q * r
        start[block, 1, lane] = np.int32(-LOW_ZERO * sum_hi - np.int64(zero) * sum_lo)
        correction[block, 1, lane] = factor * (q * r * mean_error + p * q * r * r * mean_lo)


@_function
def _sum_spans(arguments, block):
    """Fill span_sums of a block, from words of two digits of 16 bits."""
    a = carray(arguments, (len(F),), np.int64)
    positive = carray(pointer(stack_buffer(_SPAN_LANES_BYTES)), (SPANS, LANES), np.int32)
    negative = carray(pointer(stack_buffer(_SPAN_LANES_BYTES)), (SPANS, LANES), np.int32)
    taps, run = a[F.taps], a[F.run]
    words = carray(pointer(a[F.weight_words]), (a[F.G] * a[F.OB], taps, run, LANES), np.uint32)
    largest = carray(pointer(a[F.span_sums]), (a[F.G] * a[F.OB], SPANS), np.int64)
    coding = carray(pointer(a[F.coding]), (CODING_HEAD,), np.float64)
    lower, upper = -np.int64(coding[4]), np.int64(coding[5])
    for k in range(SPANS):
        for lane in range(LANES):
            positive[k, lane], negative[k, lane] = 0, 0
    for tap in range(taps):
        for word in range(run):
            for lane in range(LANES):
                both = np.int32(words[block, tap, word, lane])
                low, high = np.int32(np.int16(both & 0xFFFF)), np.int32(both >> 16)
                positive[0, lane] += max(low, np.int32(0)) + max(high, np.int32(0))
                negative[0, lane] -= min(low, np.int32(0)) + min(high, np.int32(0))
            finished = word + 1
            k = 0
            while k < SPANS and (finished == run or finished % (MIN_SPAN << k) == 0):
                for lane in range(LANES):
                    P, Q = np.int64(positive[k, lane]), np.int64(negative[k, lane])
                    largest[block, k] = max(largest[block, k], P * upper + Q * lower, Q * upper + P * lower)
                    if k + 1 < SPANS:
                        positive[k + 1, lane] += positive[k, lane]
                        negative[k + 1, lane] += negative[k, lane]
                    positive[k, lane], negative[k, lane] = 0, 0
                k += 1


def prepare_codes(arguments, task):
    """Task g*OB + b prepares lane block b of group g. Expects weight_words, phi, ... zeroed, and `coding` filled."""
    a = carray(arguments, (len(F),), np.int64)
    block = np.int64(task)
    first_lane = (block % a[F.OB]) * LANES
    first = block // a[F.OB] * a[F.OG] + first_lane
    for lane in range(min(LANES, a[F.OG] - first_lane)):
        _prepare_lane(arguments, block, lane, first + lane)
    if a[F.digit_bits] == 16:
        _sum_spans(arguments, block)

"""Level codes: the few real levels of a layer as small integers, so that integer units can multiply them.

    activation level  a = q * (a_hi + r * a_lo) + da,   a_hi, a_lo integers     (one q for the node)
    weight value      w = p * (w_hi + r * w_lo) + dw,   w_hi, w_lo integers     (a p for each row of alpha)

with one digit (D = 1, no a_lo, no w_lo) of 8 or 16 bits, or two of 8 bits. Digits of 8 bits: |w_hi|, |w_lo|, |a_lo| <=
127 and 0 <= a_hi <= 255 (|a_hi| <= 127 where a level is negative). Digits of 16 bits: |w_hi| < 2^i, |a_hi| < 2^j, i + j
as small as the error allows, from _FEWEST_BITS to MAX_CODE_BITS: the smaller the codes, the more products an int32
holds. 0 is 0 exactly. A product is w a = p q (w_hi a_hi + r (w_hi a_lo + w_lo a_hi) + r^2 w_lo a_lo) + small.

p and q are searched: with only a few levels there are scales at which all of them lie close to integers. Candidates
bring the largest level to multiples of a step between half the largest digit and all of it. For D = 1 the one with the
smallest square error is taken; for D = 2 that with the smallest largest remainder, which sets r = remainder / 127,
several times smaller than 1/256. The first of equals is taken, so the coding is deterministic.

`coding` holds q, r, the estimated error, what stands for activation 0 in the high digit, the least and the largest
a_hi, then p of each row of alpha, all float64. The estimate is of the largest error of an output over the largest
output, after the mean errors are put right (kernels/conv_codes.py). With levels taken as equally frequent,

    (error / MARGIN)^2 = mean dw^2 / mean w^2 + mean da^2 / mean a^2 + (r^2 rms(w_lo) rms(a_lo) p q / (rms(w) rms(a)))^2

the root mean square error of a product over that of the products. In simulations with Gaussian and with uniform levels,
M and N from 2 to 8 and windows of 64 to 4608 products, outputs were off by at most 1.19 times that; images, whose
activations hang together, have been seen at 1.22. MARGIN leaves room beyond.
One digit is exact for evenly spaced levels, as of ternary or k-bit schemes.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import CODING_HEAD, LOW, LOW_ZERO, MAX_CODE_BITS, MAX_LEVELS, F
from paconv.kernels.memory import pointer, stack_buffer
from paconv.kernels.registry import CHOICES

__all__ = ["encode", "level_value", "prepare_coding"]

MARGIN = 2.0
"""See the module's text."""

_EXACT = CHOICES["codes"].error
_FEWEST_BITS = 22
_FINENESS = 32
"""Candidates for each value of the largest digit, where digits have 8 bits; one for each where they have 16."""
_MOST_TRIALS = 1 << 22
_VALUES_BYTES = 8 * MAX_LEVELS
_ABREAST = 16
"""Candidates that are tried together, for the compiler to take as vectors."""
_ABREAST_BYTES = 8 * _ABREAST

_function = njit(error_model="numpy")


@_function
def level_value(coefficients, mask, planes):
    """coefficients[0] plus those of the planes in `mask`, in float64."""
    value = np.float64(coefficients[0])
    for i in range(planes):
        if (mask >> i) & 1:
            value += np.float64(coefficients[i + 1])
    return value


@_function
def encode(value, scale, r, D):
    """(hi, lo) of a value, as float64; lo is 0 for D = 1."""
    hi = np.rint(value / scale)
    lo = np.float64(0)
    if D == 2:
        lo = min(max(np.rint((value / scale - hi) / r), -np.float64(LOW)), np.float64(LOW))
    return hi, lo


@_function
def _search(values_at, count, top, fineness, most, D):
    """(scale, largest remainder): |value| / scale <= top, the remainder in units of the scale.

    fineness: candidates for each value of the largest digit, unless that makes more than `most`.
    """
    values = carray(pointer(values_at), (count,), np.float64)
    measures = carray(pointer(stack_buffer(_ABREAST_BYTES)), (_ABREAST,), np.float64)
    wanted = top * fineness // 2
    thinned = (wanted + most - 1) // most
    step, steps = np.float64(thinned) / fineness, wanted // thinned
    largest = np.float64(0)
    for k in range(count):
        largest = max(largest, abs(values[k]))
    if largest == 0:
        return np.float64(1), np.float64(0)
    best_top, best = np.float64(top), np.float64(np.inf)
    for block in range((steps + _ABREAST - 1) // _ABREAST):
        first = np.float64(top) - step * (block * _ABREAST)
        for j in range(_ABREAST):
            measures[j] = 0
        for k in range(count):
            value = values[k] / largest
            if D == 2:
                for j in range(_ABREAST):
                    x = value * (first - step * j)
                    measures[j] = max(measures[j], abs(x - np.rint(x)))
            else:
                for j in range(_ABREAST):
                    at = first - step * j
                    x = value * at
                    wrong = (x - np.rint(x)) / at
                    measures[j] += wrong * wrong
        for j in range(_ABREAST):
            if measures[j] < best:
                best, best_top = measures[j], first - step * j
    scale, worst = largest / best_top, np.float64(0)
    for k in range(count):
        worst = max(worst, abs(values[k] / scale - np.rint(values[k] / scale)))
    return scale, worst


@_function
def _codes_with(arguments, weight_top, activation_top, fineness):
    """Fill `coding` and `level_codes` for these largest digits. Returns the estimated error."""
    a = carray(arguments, (len(F),), np.int64)
    M, N, E, rows, codes, D = a[F.M], a[F.N], a[F.E], a[F.alpha_rows], a[F.weight_codes], a[F.D]
    alpha = carray(pointer(a[F.alpha]), (rows, M + 1), np.float32)
    beta = carray(pointer(a[F.beta]), (N + 1,), np.float32)
    weight_masks = carray(pointer(a[F.weight_masks]), (codes,), np.uint8)
    level_masks = carray(pointer(a[F.level_masks]), (E + 1,), np.uint8)
    coding = carray(pointer(a[F.coding]), (CODING_HEAD + rows,), np.float64)
    level_codes = carray(pointer(a[F.level_codes]), (E + 1,), np.uint32)
    values_at = stack_buffer(_VALUES_BYTES)
    values = carray(pointer(values_at), (MAX_LEVELS,), np.float64)

    most = max(_ABREAST, _MOST_TRIALS // (rows * codes))
    remainder = np.float64(0)
    for row in range(rows):
        for k in range(codes):
            values[k] = level_value(alpha[row], np.int64(weight_masks[k]), M)
        scale, worst = _search(values_at, codes, weight_top, fineness, most, D)
        coding[CODING_HEAD + row] = scale
        remainder = max(remainder, worst)

    zero, squares = np.float64(0), np.float64(0)
    for k in range(E + 1):
        values[k] = level_value(beta, np.int64(level_masks[k]), N)
        squares += values[k] * values[k]
        if values[k] < 0 and a[F.digit_bits] == 8:
            zero = np.float64(LOW_ZERO)
    q, worst = _search(values_at, E + 1, LOW if zero > 0 else activation_top, fineness, _MOST_TRIALS, D)
    r = max(max(remainder, worst) / LOW, 2.0**-30) if D == 2 else np.float64(0)
    wrong, low = np.float64(0), np.float64(0)
    coding[4], coding[5] = np.float64(0), np.float64(0)
    for k in range(E + 1):
        hi, lo = encode(values[k], q, r, D)
        if a[F.digit_bits] == 16:
            level_codes[k] = np.uint32(np.int64(hi) & 0xFFFF)
        else:
            level_codes[k] = np.uint32(hi + zero) | (np.uint32(lo + LOW_ZERO) << np.uint32(16))
        coding[4], coding[5] = min(coding[4], hi), max(coding[5], hi)
        wrong += (values[k] - q * (hi + r * lo)) ** 2
        low += lo * lo
    squares = max(squares, 1e-300)
    activation_error, activation_low = wrong / squares, q * q * low / squares

    error = np.float64(0)
    for row in range(rows):
        p = coding[CODING_HEAD + row]
        squares, wrong, low = np.float64(0), np.float64(0), np.float64(0)
        for k in range(codes):
            value = level_value(alpha[row], np.int64(weight_masks[k]), M)
            hi, lo = encode(value, p, r, D)
            squares += value * value
            wrong += (value - p * (hi + r * lo)) ** 2
            low += lo * lo
        squares = max(squares, 1e-300)
        error = max(error, wrong / squares + activation_error + r**2 * r**2 * activation_low * p * p * low / squares)
    coding[0], coding[1], coding[2], coding[3] = q, r, MARGIN * np.sqrt(error), zero
    return coding[2]


def prepare_coding(arguments, task):
    """The one task: fills `coding` and `level_codes` from alpha, beta and the masks, for D digits of digit_bits."""
    a = carray(arguments, (len(F),), np.int64)
    if a[F.digit_bits] == 8:
        _codes_with(arguments, LOW, 255, _FINENESS)
        return
    for bits in range(_FEWEST_BITS, MAX_CODE_BITS + 1):
        weight_top, activation_top = (1 << (bits - bits // 2)) - 1, (1 << (bits // 2)) - 1
        if _codes_with(arguments, weight_top, activation_top, 1) <= _EXACT:
            return

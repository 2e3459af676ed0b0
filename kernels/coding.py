"""Level codes: the few real levels of a layer as small integers, so that integer units can multiply them.

    activation level  a = q * (a_hi + r * a_lo) + da,   a_hi, a_lo integers     (one q for the node)
    weight value      w = p * (w_hi + r * w_lo) + dw,   w_hi, w_lo integers     (a p for each row of alpha)

with |w_hi|, |w_lo|, |a_lo| <= 127 and 0 <= a_hi <= 255 (|a_hi| <= 127 where a level is negative); 0 is 0 exactly.
A product is w a = p q (w_hi a_hi + r (w_hi a_lo + w_lo a_hi) + r^2 w_lo a_lo) + small.

p and q are searched: with only a few levels there are scales at which all of them lie close to integers, so the
remainders, and with them r = (largest remainder) / 127, are several times smaller than 1/256. Candidates bring the
largest level to multiples of 1/_FINENESS between half the largest digit and all of it, integers among them; the one
with the smallest largest remainder is taken, the first of equals, so the coding is deterministic.

`coding` holds q, r, the estimated errors with both digits (D = 2) and with the high one alone (D = 1), what stands for
activation 0 in the high digit, then p of each row of alpha, all float64. An estimate is of the largest error of an
output over the largest output, after the mean errors are put right (kernels/conv_codes.py). For D = 2, with levels
taken as equally frequent,

    (error / MARGIN)^2 = mean dw^2 / mean w^2 + mean da^2 / mean a^2 + (r^2 rms(w_lo) rms(a_lo) p q / (rms(w) rms(a)))^2

the root mean square error of a product over that of the products. In simulations with Gaussian and with uniform levels,
M and N from 2 to 8 and windows of 64 to 4608 products, outputs were off by at most 1.19 times that; hence MARGIN. For
D = 1 da and dw hold the low digits too. One digit is exact for evenly spaced levels, as of ternary or k-bit schemes.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import CODING_HEAD, LOW_ZERO, MAX_LEVELS, F
from paconv.kernels.memory import pointer, stack_buffer

__all__ = ["LOW", "encode", "level_value", "prepare_coding"]

MARGIN = 1.2
"""See the module's text."""

LOW = 127
"""Largest low digit, and largest high digit of a weight."""

_FINENESS = 32
_MOST_TRIALS = 1 << 21
_VALUES_BYTES = 8 * MAX_LEVELS

_inline = njit(inline="always", error_model="numpy")


@_inline
def level_value(coefficients, mask, planes):
    """coefficients[0] plus those of the planes in `mask`, in float64."""
    value = np.float64(coefficients[0])
    for i in range(planes):
        if (mask >> i) & 1:
            value += np.float64(coefficients[i + 1])
    return value


@_inline
def encode(value, scale, r):
    """(hi, lo) of a value, as float64."""
    hi = np.rint(value / scale)
    lo = min(max(np.rint((value / scale - hi) / r), -np.float64(LOW)), np.float64(LOW))
    return hi, lo


@_inline
def _search(values, count, top, fineness):
    """(scale, largest remainder): |value| / scale <= top, the remainder in units of the scale."""
    largest = np.float64(0)
    for k in range(count):
        largest = max(largest, abs(values[k]))
    best_scale, best = np.float64(1), np.float64(0)
    if largest > 0:
        best = np.float64(2)
        for step in range(top * fineness // 2):
            scale = largest / (top - step / fineness)
            worst = np.float64(0)
            for k in range(count):
                worst = max(worst, abs(values[k] / scale - np.rint(values[k] / scale)))
            if worst < best:
                best, best_scale = worst, scale
    return best_scale, best


def prepare_coding(arguments, task):
    """The one task: fills `coding` and `level_codes` from alpha, beta and the masks."""
    a = carray(arguments, (len(F),), np.int64)
    M, N, E, rows, codes = a[F.M], a[F.N], a[F.E], a[F.alpha_rows], a[F.weight_codes]
    alpha = carray(pointer(a[F.alpha]), (rows, M + 1), np.float32)
    beta = carray(pointer(a[F.beta]), (N + 1,), np.float32)
    weight_masks = carray(pointer(a[F.weight_masks]), (codes,), np.uint8)
    level_masks = carray(pointer(a[F.level_masks]), (E + 1,), np.uint8)
    coding = carray(pointer(a[F.coding]), (CODING_HEAD + rows,), np.float64)
    level_codes = carray(pointer(a[F.level_codes]), (E + 1,), np.uint32)
    values = carray(pointer(stack_buffer(_VALUES_BYTES)), (MAX_LEVELS,), np.float64)

    fineness = max(1, min(_FINENESS, _MOST_TRIALS // (rows * codes * LOW)))
    remainder = np.float64(0)
    for row in range(rows):
        for k in range(codes):
            values[k] = level_value(alpha[row], np.int64(weight_masks[k]), M)
        scale, worst = _search(values, codes, LOW, fineness)
        coding[CODING_HEAD + row] = scale
        remainder = max(remainder, worst)

    zero, top = np.float64(0), 255
    squares = np.float64(0)
    for k in range(E + 1):
        values[k] = level_value(beta, np.int64(level_masks[k]), N)
        squares += values[k] * values[k]
        if values[k] < 0:
            zero, top = np.float64(128), LOW
    q, worst = _search(values, E + 1, top, _FINENESS)
    r = max(max(remainder, worst) / LOW, 2.0**-30)
    wrong, high_wrong, low = np.float64(0), np.float64(0), np.float64(0)
    for k in range(E + 1):
        hi, lo = encode(values[k], q, r)
        level_codes[k] = np.uint32(hi + zero) | (np.uint32(lo + LOW_ZERO) << np.uint32(16))
        wrong += (values[k] - q * (hi + r * lo)) ** 2
        high_wrong += (values[k] - q * hi) ** 2
        low += lo * lo
    squares = max(squares, 1e-300)
    activation_error, activation_high_error, activation_low = (
        wrong / squares,
        high_wrong / squares,
        q * q * low / squares,
    )

    error, high_error = np.float64(0), np.float64(0)
    for row in range(rows):
        p = coding[CODING_HEAD + row]
        squares, wrong, high_wrong, low = np.float64(0), np.float64(0), np.float64(0), np.float64(0)
        for k in range(codes):
            value = level_value(alpha[row], np.int64(weight_masks[k]), M)
            hi, lo = encode(value, p, r)
            squares += value * value
            wrong += (value - p * (hi + r * lo)) ** 2
            high_wrong += (value - p * hi) ** 2
            low += lo * lo
        squares = max(squares, 1e-300)
        error = max(error, wrong / squares + activation_error + r**2 * r**2 * activation_low * p * p * low / squares)
        high_error = max(high_error, high_wrong / squares + activation_high_error)
    coding[0], coding[1], coding[2], coding[3] = q, r, MARGIN * np.sqrt(error), MARGIN * np.sqrt(high_error)
    coding[4] = zero

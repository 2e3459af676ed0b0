"""Level codes: the few levels of a node as the smallest integers times a unit, found from the levels alone.

    alpha[o, i] = unit_o k[o, i]      beta[j] = unit l[j]      k, l integers

float32 numbers are integers times powers of two, so the largest unit is their greatest common divisor, exactly. A node
is *on the grid* where every weight (a sum of alphas) has |k| <= MOST_WEIGHT and every level (a sum of betas) l <=
MOST_ACTIVATION, or |l| <= MOST_WEIGHT where some are negative. Then

    sum w a = unit_o unit sum k l,      Y = (scale_o unit_o unit) sum k l + bias_o

with one exact sum of integers, the same in every kernel, and two roundings. Bit planes take a product as up to
(M + 1)(N + 1) terms in float32, in any order exact where a window's sum of their magnitudes is below MAX_EXACT_FLOAT.
Off the grid, alpha_k and beta_l are alpha and beta themselves, with units of 1, and only bit planes run.

A byte of an activation is l + zero. Where products take unsigned activations, zero is 0, or LOW_ZERO if some level is
negative; where they take signed ones, 0, or -LOW_ZERO if some level is above MOST_WEIGHT.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.grid import MOST_ACTIVATION, MOST_WEIGHT
from paconv.kernels.arguments import CODING, MAX_LEVELS, F
from paconv.kernels.emit.memory import pointer, stack_buffer

__all__ = ["LOW_ZERO", "level_value", "prepare_coding"]

LOW_ZERO = 128
"""What is added to signed levels to make them unsigned bytes."""

_MOST_SHIFT = 38
"""Most by which the exponents of levels on one grid differ: integers of 24 bits stay within 62."""

_VALUES_BYTES = 8 * MAX_LEVELS
_function = njit(error_model="numpy")


@_function
def level_value(coefficients, mask, planes):
    """coefficients[0] plus those of the planes in `mask`, in float64; and the sum of their magnitudes: no partial sum
    is larger.
    """
    value, magnitude = np.float64(coefficients[0]), abs(np.float64(coefficients[0]))
    for i in range(planes):
        if (mask >> i) & 1:
            value, magnitude = value + coefficients[i + 1], magnitude + abs(coefficients[i + 1])
    return value, magnitude


@_function
def _power_of_two(exponent):
    """2.0**exponent for a normal float64."""
    place = stack_buffer(8)
    carray(pointer(place), (1,), np.int64)[0] = (exponent + 1023) << 52
    return carray(pointer(place), (1,), np.float64)[0]


@_function
def _integers(values_at, count, integers_at):
    """The unit of `count` float32 values, as float64, and the values over it in `integers`: float32 at `integers_at`,
    which may be the same place. 0, and `integers` as the values, where there is none. The unit of zeros is 1.
    """
    bits = carray(pointer(values_at), (count,), np.uint32)
    integers = carray(pointer(integers_at), (count,), np.float32)
    values = carray(pointer(values_at), (count,), np.float32)
    found = carray(pointer(stack_buffer(_VALUES_BYTES)), (MAX_LEVELS,), np.int64)
    exponents = carray(pointer(stack_buffer(_VALUES_BYTES)), (MAX_LEVELS,), np.int64)
    least, largest = np.int64(1 << 20), np.int64(-(1 << 20))
    for k in range(count):
        exponent, mantissa = np.int64((bits[k] >> 23) & 255), np.int64(bits[k] & 0x7FFFFF)
        negative = bits[k] >> 31 != 0
        found[k], exponents[k] = 0, 0
        if exponent == 255:
            least = np.int64(-(1 << 20))  # infinite or NaN: on no grid
        elif exponent > 0 or mantissa > 0:
            if exponent > 0:
                mantissa += 1 << 23
            else:
                exponent = 1
            while mantissa & 1 == 0:
                mantissa, exponent = mantissa >> 1, exponent + 1
            found[k], exponents[k] = (-mantissa if negative else mantissa), exponent - 150
            least, largest = min(least, exponent - 150), max(largest, exponent - 150)
    if least == 1 << 20:
        for k in range(count):
            integers[k] = np.float32(0)
        return np.float64(1)
    divisor = np.int64(0)
    if largest - least <= _MOST_SHIFT:
        for k in range(count):
            found[k] = found[k] << (exponents[k] - least) if found[k] != 0 else 0
            a, b = abs(found[k]), divisor
            while b != 0:
                a, b = b, a % b
            divisor = a
    if divisor == 0:
        for k in range(count):
            integers[k] = values[k]
        return np.float64(0)
    for k in range(count):
        integers[k] = np.float32(found[k] // divisor)
    return np.float64(divisor) * _power_of_two(least)


def prepare_coding(arguments, task):
    """The one task: fills `coding`, `alpha_k`, `beta_l` and `level_codes` from alpha, beta and the masks."""
    a = carray(arguments, (F.count,), np.int64)
    M, N, E, rows, codes = a[F.M], a[F.N], a[F.E], a[F.alpha_rows], a[F.weight_codes]
    alpha_k = carray(pointer(a[F.alpha_k]), (rows, M + 1), np.float32)
    beta_l = carray(pointer(a[F.beta_l]), (N + 1,), np.float32)
    weight_masks = carray(pointer(a[F.weight_masks]), (codes,), np.uint8)
    level_masks = carray(pointer(a[F.level_masks]), (E + 1,), np.uint8)
    coding = carray(pointer(a[F.coding]), (CODING.count - 1 + rows,), np.float64)
    level_codes = carray(pointer(a[F.level_codes]), (E + 1,), np.uint8)

    most_weight, weight_terms, level_terms, on_grid = np.float64(0), np.float64(0), np.float64(0), True
    for row in range(rows):
        unit = _integers(a[F.alpha] + row * (M + 1) * 4, M + 1, a[F.alpha_k] + row * (M + 1) * 4)
        coding[CODING.rows + row] = unit
        on_grid = on_grid and unit > 0
        if unit > 0:
            for k in range(codes):
                value, magnitude = level_value(alpha_k[row], np.int64(weight_masks[k]), M)
                most_weight, weight_terms = max(most_weight, abs(value)), max(weight_terms, magnitude)
    coding[CODING.unit] = _integers(a[F.beta], N + 1, a[F.beta_l])
    least, largest = np.float64(0), np.float64(0)
    for k in range(E + 1):
        value, magnitude = level_value(beta_l, np.int64(level_masks[k]), N)
        least, largest, level_terms = min(least, value), max(largest, value), max(level_terms, magnitude)
    on_grid = on_grid and coding[CODING.unit] > 0 and most_weight <= MOST_WEIGHT
    on_grid = on_grid and least >= -MOST_WEIGHT and largest <= (MOST_ACTIVATION if least == 0 else MOST_WEIGHT)

    coding[CODING.on_grid] = np.float64(1) if on_grid else np.float64(0)
    if not on_grid:
        alpha = carray(pointer(a[F.alpha]), (rows, M + 1), np.float32)
        beta = carray(pointer(a[F.beta]), (N + 1,), np.float32)
        coding[CODING.unit] = 1
        for row in range(rows):
            coding[CODING.rows + row] = 1
            for i in range(M + 1):
                alpha_k[row, i] = alpha[row, i]
        for j in range(N + 1):
            beta_l[j] = beta[j]
        return
    zero = np.float64(0)
    if a[F.signed_codes]:
        if largest > MOST_WEIGHT:
            zero = np.float64(-LOW_ZERO)
    elif least < 0:
        zero = np.float64(LOW_ZERO)
    for k in range(E + 1):
        level_codes[k] = np.uint8(np.int64(level_value(beta_l, np.int64(level_masks[k]), N)[0] + zero) & 255)
    coding[CODING.rising] = np.float64(1)
    for k in range(E):
        if np.int64(level_codes[k + 1]) != (np.int64(level_codes[k]) + 1) & 255:
            coding[CODING.rising] = np.float64(0)
    coding[CODING.zero], coding[CODING.least], coding[CODING.largest] = zero, least + zero, largest + zero
    coding[CODING.most_weight], coding[CODING.most_level] = most_weight, max(largest, -least)
    coding[CODING.most_terms] = weight_terms * level_terms

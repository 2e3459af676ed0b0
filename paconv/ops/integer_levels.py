"""When the sum of a PABitConv is an integer: its levels are small ones.

    alpha_i, beta_j integers
    w[o,k] in -127..127           every value that weight_masks can give, |alpha_i| <= 254
    a[k]   in 0..255              or in -127..127 where a level is negative, |beta_j| <= 255
    sum_k |w[o,k]| * max |a| < 2**31                                          for every output channel o

Then sum_k w a is an int32, the same for any kernel, tile, number of threads and order, and the result is made from it
by two roundings, Y = float32(float32(scale_o * float32(sum)) + bias_o). Levels of any other kind are real numbers, and
their sums are rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from paconv.bits import level_table, unpack_codes
from paconv.grid import MOST_ACTIVATION, MOST_WEIGHT

__all__ = ["SUM_LIMIT", "IntegerLevels", "integer_levels"]

SUM_LIMIT = 1 << 31
"""The absolute values of the products in one window add up to less."""


@dataclass(frozen=True)
class IntegerLevels:
    """weights: (O, C/g, KH, KW) int16, the value of each weight; activations: (E+1,) int16, that of each level."""

    weights: np.ndarray
    activations: np.ndarray


def integer_levels(attributes: dict, inputs: dict[str, np.ndarray]) -> IntegerLevels | None:
    """The integers of a node, None if its levels are no such integers.

    attributes and inputs as in ops.pa_bit_conv.check_parameters; of the inputs, W, alpha and beta are read.
    """
    alpha, beta = inputs["alpha"], inputs["beta"]
    if not (_integers(alpha, 2 * MOST_WEIGHT) and _integers(beta, MOST_ACTIVATION)):
        return None
    tables = level_table(alpha, attributes["weight_masks"])
    activations = level_table(beta, attributes["level_masks"])
    largest = np.abs(activations).max()
    if np.abs(tables).max() > MOST_WEIGHT or largest > (MOST_WEIGHT if activations.min() < 0 else MOST_ACTIVATION):
        return None
    shape = attributes["weight_shape"]
    codes = unpack_codes(inputs["W"], prod(shape)).reshape(shape[0], -1)
    if codes.max() >= tables.shape[1]:
        return None
    weights = np.take_along_axis(np.broadcast_to(tables, (shape[0], tables.shape[1])), codes.astype(np.intp), 1)
    if np.abs(weights).sum(1, dtype=np.float64).max() * largest >= SUM_LIMIT:
        return None
    return IntegerLevels(weights.astype(np.int16).reshape(shape), activations.astype(np.int16))


def _integers(coefficients: np.ndarray, most: int) -> bool:
    return bool((np.rint(coefficients) == coefficients).all() and np.abs(coefficients).max() <= most)

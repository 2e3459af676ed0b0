"""Unpack weight codes: planes of bits (paconv/bits.py has the order) to a byte a weight, eight weights at a time.

A byte of plane r holds bit r of eight weights' codes. Multiplied by 0x0101010101010101 it stands in every byte of a
uint64; a mask keeps bit i in byte i; adding 0x80 - 2^i brings that bit to the byte's top.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import F
from paconv.kernels.emit.memory import pointer

__all__ = ["UNPACKED", "unpack"]

UNPACKED = 4096
"""Weights that are unpacked at a time: a multiple of 8."""

_inline = njit(inline="always", error_model="numpy")
_EVERY_BYTE = np.uint64(0x0101010101010101)
_BIT_OF_BYTE = np.uint64(0x8040201008040201)
_TO_THE_TOP = np.uint64(0x00406070787C7E7F)
_SEVEN = np.uint64(7)


@_inline
def unpack(a, first, most, unpacked):
    """Unpack weights from number `first` on, at most `most`. Returns (skip, count): bytes skip to skip + count of
    `unpacked`, the address of UNPACKED bytes, are their codes. One without a mask is reported in the error slot, and
    counts as 0.
    """
    codes = carray(pointer(a[F.codes]), (a[F.R], a[F.code_bytes]), np.uint8)
    eights = carray(pointer(unpacked), (UNPACKED // 8,), np.uint64)
    code_of = carray(pointer(unpacked), (UNPACKED,), np.uint8)
    skip = first & 7
    count = min(UNPACKED - skip, most)
    for k in range((skip + count + 7) >> 3):
        eight = np.uint64(0)
        for r in range(a[F.R]):
            spread = (np.uint64(codes[r, (first >> 3) + k]) * _EVERY_BYTE) & _BIT_OF_BYTE
            eight |= (((spread + _TO_THE_TOP) >> _SEVEN) & _EVERY_BYTE) << np.uint64(r)
        eights[k] = eight  # the first weight in the lowest byte
    for k in range(skip, skip + count):
        if code_of[k] >= a[F.weight_codes]:
            a[F.error] = 1 + first + k - skip
            code_of[k] = 0
    return skip, count

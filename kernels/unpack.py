"""Unpack weight codes: planes of bits (paconv/bits.py has the order) to a byte a weight, eight weights at a time.

A byte of plane r holds bit r of eight weights' codes. Multiplied by 0x0101010101010101 it stands in every byte of a
uint64; a mask keeps bit i in byte i; adding 0x80 - 2^i brings that bit to the byte's top.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["UNPACKED", "unpack"]

UNPACKED = 4096
"""Weights that are unpacked at a time: a multiple of 8."""

_inline = njit(inline="always", error_model="numpy")
_EVERY_BYTE = np.uint64(0x0101010101010101)
_BIT_OF_BYTE = np.uint64(0x8040201008040201)
_TO_THE_TOP = np.uint64(0x00406070787C7E7F)
_SEVEN = np.uint64(7)


@_inline
def unpack(codes, first, most, unpacked):
    """Unpack weights from number `first` on, at most `most`. Returns (skip, count): bytes skip to skip + count of
    `unpacked` are their codes.

    codes: (R, bytes) uint8; unpacked: (UNPACKED // 8,) uint64.
    """
    skip = first & 7
    count = min(UNPACKED - skip, most)
    _unpack_bytes(codes, first >> 3, (skip + count + 7) >> 3, unpacked)
    return skip, count


@_inline
def _unpack_bytes(codes, first_byte, count, unpacked):
    """unpacked[k] = codes of the eight weights of byte first_byte + k, the first in the lowest byte, for k < count.

    codes: (R, bytes) uint8; unpacked: (at least count,) uint64.
    """
    for k in range(count):
        eight = np.uint64(0)
        for r in range(codes.shape[0]):
            spread = (np.uint64(codes[r, first_byte + k]) * _EVERY_BYTE) & _BIT_OF_BYTE
            eight |= (((spread + _TO_THE_TOP) >> _SEVEN) & _EVERY_BYTE) << np.uint64(r)
        unpacked[k] = eight

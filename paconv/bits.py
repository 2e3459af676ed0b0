"""Bit order and packing: the one place that says which bit of which byte holds what.

Symbols: a *code* is a small integer (a weight's or an activation's level index); a *plane mask* is a uint8
whose bit j says whether plane j+1 is set at that level.

On disk (input W of PABitConv) the codes of n weights lie bit-sliced: row r holds bit r of every code,
weight k in byte k // 8, bit k % 8 (little-endian), weights in the C order of (O, C/g, KH, KW).

In memory the kernels use words of WORD_BITS channels: channel c of a group in word c // WORD_BITS, bit
c % WORD_BITS; where channels are few, kernels/planes/window_rows.py puts those of a window row side by side. *Word
padding* (bits up to a full word) and *window padding* (pixels outside the image) are both zero bits.
"""

from __future__ import annotations

import numpy as np

from paconv.errors import OpError

__all__ = [
    "MAX_PLANES",
    "WORD_BITS",
    "binary_masks",
    "code_bits",
    "level_table",
    "mask_bits",
    "one_hot_masks",
    "pack_codes",
    "packed_bytes",
    "unpack_codes",
]

MAX_PLANES = 8
"""Largest M and N: a plane mask is one byte."""

WORD_BITS = 32
"""Channels in one word of the kernels' activation and weight planes."""


def code_bits(count: int) -> int:
    """Bits that tell `count` codes apart: ceil(log2(count)), at least 1. M+1 weight levels take code_bits(M+1)."""
    return max(1, (count - 1).bit_length())


def packed_bytes(count: int) -> int:
    """Bytes of one row of `count` packed bits."""
    return -(-count // 8)


def pack_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Bit-slice codes. codes: (...) integers below 2**bits -> (bits, ceil(codes.size / 8)) uint8."""
    flat = np.ascontiguousarray(codes).reshape(-1)
    if flat.size and (int(flat.min()) < 0 or int(flat.max()) >= 1 << bits):
        raise OpError(f"codes must lie in 0..{(1 << bits) - 1} to fit {bits} bits; found {flat.min()}..{flat.max()}")
    flat = flat.astype(np.uint8)
    rows = [np.packbits((flat >> r) & 1, bitorder="little") for r in range(bits)]
    return np.stack(rows).reshape(bits, packed_bytes(flat.size))


def unpack_codes(packed: np.ndarray, count: int) -> np.ndarray:
    """Inverse of pack_codes. packed: (bits, ceil(count / 8)) uint8 -> (count,) uint8. OpError on another shape."""
    if packed.ndim != 2 or packed.shape[1] != packed_bytes(count) or not 1 <= packed.shape[0] <= 8:
        raise OpError(
            f"packed codes of {count} weights: expected shape (bits, {packed_bytes(count)}), bits 1..8; "
            f"found {tuple(packed.shape)}"
        )
    codes = np.zeros(count, np.uint8)
    for r, row in enumerate(packed):
        codes |= np.unpackbits(row, bitorder="little", count=count) << r
    return codes


def one_hot_masks(planes: int, zero: int = 0) -> list[int]:
    """Plane masks of PA: code `zero` sets no plane, each other one a plane of its own, in order. planes + 1 entries."""
    masks = [1 << i for i in range(planes)]
    return [*masks[:zero], 0, *masks[zero:]]


def binary_masks(planes: int) -> list[int]:
    """Plane masks where the code's binary digits are the planes. 2**planes entries."""
    return list(range(1 << planes))


def mask_bits(masks, planes: int) -> np.ndarray:
    """masks: (L,) ints -> (L, planes) float64 of 0 and 1: bit j of each mask."""
    return ((np.asarray(masks, np.int64)[:, None] >> np.arange(planes)) & 1).astype(np.float64)


def level_table(coefficients: np.ndarray, masks) -> np.ndarray:
    """Value of every code: coefficients[..., 0] + sum_j coefficients[..., j] * bit_j(mask).

    coefficients: (..., P+1) float32; masks: (..., L) ints below 2**P, leading dimensions broadcast -> (..., L) float32.
    Summed in float64, the offset first, then the planes in order, and narrowed once. One-hot masks with a zero offset
    give exactly the coefficients, as the op's semantics ask (no sum of differences).
    """
    coefficients, masks = np.asarray(coefficients, np.float64), np.asarray(masks, np.int64)
    table = coefficients[..., :1]
    for plane in range(coefficients.shape[-1] - 1):
        table = table + coefficients[..., plane + 1, None] * ((masks >> plane) & 1)
    return table.astype(np.float32)

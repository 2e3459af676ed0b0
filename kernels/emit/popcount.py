"""Counting bits in vectors of LANES words: how a CPU counts best, and how its counts are added up.

    words   popcount of each 32-bit word, added to LANES int32           where that is one instruction (VPOPCNTD)
    bytes   popcount of each byte, added to 4*LANES bytes                elsewhere (vpshufb, cnt)

A byte holds the bits of at most MAX_BYTE_WORDS = floor(255 / 8) words; `as_words` then adds up the four bytes of each
word. So the pairwise sums that a count of words needs (several instructions) are taken once in up to 31 words.
"""

from __future__ import annotations

from llvmlite import ir

from paconv.kernels.arguments import LANES
from paconv.kernels.emit.intrinsics import call_instruction
from paconv.kernels.emit.vectors import WORDS, const, i8, i16, vector

__all__ = ["MAX_BYTE_WORDS", "add_bits", "as_words", "counter_type"]

MAX_BYTE_WORDS = 31
"""Words whose bits a byte counter certainly holds."""

_shorts, _bytes = vector(i16, 2 * LANES), vector(i8, 4 * LANES)


def counter_type(in_bytes: bool) -> ir.VectorType:
    """The LLVM type of LANES counters."""
    return _bytes if in_bytes else WORDS


def add_bits(builder, counter, words):
    """counter + the bits of each of `words` (LANES,) uint32, as the counter's type counts."""
    kind = counter.type
    name = f"ctpop.v{kind.count}i{kind.element.width}"
    return builder.add(counter, call_instruction(builder, kind, name, builder.bitcast(words, kind)))


def as_words(builder, counter):
    """The counts (LANES,) int32 of a counter."""
    if counter.type == _bytes:
        for kind in (_shorts, WORDS):
            width = kind.element.width // 2
            wide = builder.bitcast(counter, kind)
            low = builder.and_(wide, const((1 << width) - 1, kind))
            counter = builder.add(low, builder.lshr(wide, const(width, kind)))
    return counter

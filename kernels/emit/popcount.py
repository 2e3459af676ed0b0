"""Counting bits in vectors of LANES words: how a CPU counts best, and how its counts are added up.

    words   popcount of each 32-bit word, added to LANES int32           where that is one instruction (VPOPCNTD)
    bytes   popcount of each byte, added to 4*LANES bytes                elsewhere (vpshufb, cnt)

A byte holds the bits of at most MAX_BYTE_WORDS = floor(255 / 8) words; `as_words` then adds up the four bytes of each
word. So the pairwise sums that a count of words needs (several instructions) are taken once in up to 31 words.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from paconv.kernels.arguments import LANES

__all__ = ["MAX_BYTE_WORDS", "add_bits", "as_words", "broadcast", "counter_type"]

MAX_BYTE_WORDS = 31
"""Words whose bits a byte counter certainly holds."""

_words, _shorts, _bytes = (ir.VectorType(ir.IntType(32 // k), LANES * k) for k in (1, 2, 4))


def counter_type(in_bytes: bool) -> ir.VectorType:
    """The LLVM type of LANES counters."""
    return _bytes if in_bytes else _words


def broadcast(builder, word):
    """A uint32 in all lanes."""
    undefined = ir.Constant(_words, ir.Undefined)
    single = builder.insert_element(undefined, word, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, undefined, ir.Constant(_words, [0] * LANES))


def add_bits(builder, counter, words):
    """counter + the bits of each of `words` (LANES,) uint32, as the counter's type counts."""
    kind = counter.type
    name = f"llvm.ctpop.v{kind.count}i{kind.element.width}"
    ctpop = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
    return builder.add(counter, builder.call(ctpop, [builder.bitcast(words, kind)]))


def as_words(builder, counter):
    """The counts (LANES,) int32 of a counter."""
    if counter.type == _bytes:
        for kind in (_shorts, _words):
            width = kind.element.width // 2
            wide = builder.bitcast(counter, kind)
            low = builder.and_(wide, ir.Constant(kind, [(1 << width) - 1] * kind.count))
            counter = builder.add(low, builder.lshr(wide, ir.Constant(kind, [width] * kind.count)))
    return counter

"""How words of level codes are multiplied: 16 words of four weight bytes with one word of four activation bytes.

A product has three steps, each given an LLVM builder: `weights` (a vector of words, once for all pixels), `activations`
(a word in all lanes, once for all lane blocks) and `add` (total, activations, weights). Totals
are of type `sums`; `words` makes 16 int32 of one. Weights are signed, activations unsigned on x86-64 and signed on
aarch64 (kernels/codes/choose_codes.py). All are exact modulo 2**32, so what comes out is the same on every CPU.

Where `sums` has 16 bits (kind "narrow"), each sum holds the products of one or two of a word's channels; they stay
within 16 bits over a span of words that the weights of the node allow (kernels/codes/weights.py), and are then added
up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from llvmlite import ir

from paconv.kernels.arguments import LANES
from paconv.kernels.emit.intrinsics import call_instruction
from paconv.kernels.emit.vectors import WORDS, const, i8, i16, i32, indexes, vector

__all__ = ["PRODUCTS"]

_shorts, _bytes = vector(i16, 2 * LANES), vector(i8, 4 * LANES)
_widened = vector(i32, 2 * LANES)


def _in_pieces(builder, name: str, width: int, result, *operands):
    """An instruction of `width` bits on vectors of any size, piece by piece. operands: (vector, type of its elements as
    the instruction takes them); result: type of what it gives.
    """
    pieces = []
    for k in range(32 * LANES // width):
        parts = []
        for whole, kind in operands:
            size = whole.type.count * width // (32 * LANES)
            part = builder.shuffle_vector(whole, whole, indexes(range(k * size, (k + 1) * size)))
            parts.append(builder.bitcast(part, vector(kind, width // kind.width)))
        pieces.append(call_instruction(builder, vector(result, width // result.width), name, *parts))
    while len(pieces) > 1:  # side by side
        both = indexes(range(2 * pieces[0].type.count))
        pieces = [builder.shuffle_vector(a, b, both) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


def _add_neighbours(builder, vector):
    """v[2k] + v[2k + 1]."""
    count = vector.type.count
    even, odd = (builder.shuffle_vector(vector, vector, indexes(range(first, count, 2))) for first in (0, 1))
    return builder.add(even, odd)


class Product(ABC):
    """One that takes words as they are, and whose totals are words."""

    sums: ir.Type = WORDS

    def weights(self, builder, words):
        return words

    def activations(self, builder, words):
        return words

    @abstractmethod
    def add(self, builder, total, a, w): ...

    def words(self, builder, total):
        return total


@dataclass(frozen=True)
class Dots(Product):
    """Four products added to an int32 by an instruction of `width` bits, which takes words, or signed bytes of weights
    first.
    """

    width: int
    instruction: str
    operands: ir.Type

    def add(self, builder, total, a, w):
        pair = (w, a) if self.operands == i8 else (a, w)
        operands = [(each, self.operands) for each in pair]
        return _in_pieces(builder, self.instruction, self.width, i32, (total, i32), *operands)


@dataclass(frozen=True)
class Pairs(Product):
    """PMADDUBSW: the products of two channels added in 16 bits, saturated, where spans keep clear of it."""

    width: int
    instruction: str
    sums = _shorts

    def add(self, builder, total, a, w):
        return builder.add(total, _in_pieces(builder, self.instruction, self.width, i16, (a, i8), (w, i8)))

    def words(self, builder, total):
        return _add_neighbours(builder, builder.sext(total, _widened))


class WideningBytes(Product):
    """SMLAL: signed bytes multiplied and added in 16 bits, a sum for each channel of a word. LLVM knows the pattern."""

    sums = vector(i16, 4 * LANES)

    def weights(self, builder, words):
        return builder.sext(builder.bitcast(words, _bytes), self.sums)

    activations = weights

    def add(self, builder, total, a, w):
        return builder.add(total, builder.mul(a, w))

    def words(self, builder, total):
        wide = builder.sext(total, vector(i32, 4 * LANES))
        return _add_neighbours(builder, _add_neighbours(builder, wide))


class WidePairs(Product):
    """PMADDWD of a word's even bytes and of its odd ones, widened to 16 bits: for codes of any size."""

    def weights(self, builder, words):
        return _even_and_odd(builder, words, builder.ashr)

    def activations(self, builder, words):
        return _even_and_odd(builder, words, builder.lshr)

    def add(self, builder, total, a, w):
        for left, right in zip(a, w, strict=True):
            total = builder.add(total, _add_neighbours(builder, builder.mul(left, right)))
        return total


def _even_and_odd(builder, words, shift) -> list:
    """The even and the odd bytes of words, widened to 16 bits by `shift` and again to 32."""
    eight = const(8, _shorts)
    both = builder.bitcast(words, _shorts)
    return [builder.sext(half, _widened) for half in (shift(builder.shl(both, eight), eight), shift(both, eight))]


PRODUCTS: dict[str, Product] = {
    "DotOf512": Dots(512, "x86.avx512.vpdpbusd.512", i32),
    "DotOf128": Dots(128, "aarch64.neon.sdot.v4i32.v16i8", i8),
    "PairsOf128": Pairs(128, "x86.ssse3.pmadd.ub.sw.128"),
    "PairsOf256": Pairs(256, "x86.avx2.pmadd.ub.sw"),
    "PairsOf512": Pairs(512, "x86.avx512.pmaddubs.w.512"),
    "WideningBytes": WideningBytes(),
    "WidePairs": WidePairs(),
}

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

from llvmlite import ir

from paconv.kernels.arguments import LANES
from paconv.kernels.emit.intrinsics import call_instruction
from paconv.kernels.emit.vectors import WORDS, const, i8, i16, i32, indexes, vector

__all__ = ["PRODUCTS"]

_shorts, _bytes = vector(i16, 2 * LANES), vector(i8, 4 * LANES)
_widened = vector(i32, 2 * LANES)


def _pieces(builder, vector, count: int) -> list:
    """A vector in `count` equal parts."""
    size = vector.type.count // count
    return [
        builder.shuffle_vector(vector, vector, indexes(range(k * size, (k + 1) * size))) if count > 1 else vector
        for k in range(count)
    ]


def _joined(builder, pieces: list):
    """Equal vectors side by side."""
    while len(pieces) > 1:
        size = 2 * pieces[0].type.count
        pieces = [
            builder.shuffle_vector(a, b, indexes(range(size))) for a, b in zip(pieces[::2], pieces[1::2], strict=True)
        ]
    return pieces[0]


def _add_neighbours(builder, vector):
    """v[2k] + v[2k + 1]."""
    count = vector.type.count
    even, odd = (builder.shuffle_vector(vector, vector, indexes(range(first, count, 2))) for first in (0, 1))
    return builder.add(even, odd)


class _Bytes:
    """Words as they are, bytes to an instruction of `width` bits at a time."""

    sums: ir.VectorType
    width: int
    instruction: str

    @classmethod
    def weights(cls, builder, words):
        return words

    activations = weights


class _Dots(_Bytes):
    """Four products added to an int32 by one instruction."""

    sums = WORDS

    @classmethod
    def add(cls, builder, total, a, w):
        count = 32 * LANES // cls.width
        kind = cls.operand(cls.width)
        parts = zip(*(_pieces(builder, v, count) for v in (total, *cls.operands(builder, a, w))), strict=True)
        sums = vector(i32, cls.width // 32)
        return _joined(
            builder,
            [
                call_instruction(builder, sums, cls.instruction, s, *(builder.bitcast(v, kind) for v in pair))
                for s, *pair in parts
            ],
        )

    @classmethod
    def words(cls, builder, total):
        return total


class DotOf512(_Dots):
    """VPDPBUSD: unsigned activations with signed weights."""

    width, instruction = 512, "x86.avx512.vpdpbusd.512"

    @staticmethod
    def operand(width: int):
        return vector(i32, width // 32)

    @staticmethod
    def operands(builder, a, w):
        return a, w


class DotOf128(_Dots):
    """SDOT: signed with signed."""

    width, instruction = 128, "aarch64.neon.sdot.v4i32.v16i8"

    @staticmethod
    def operand(width: int):
        return vector(i8, width // 8)

    @staticmethod
    def operands(builder, a, w):
        return w, a


class _Pairs(_Bytes):
    """PMADDUBSW: the products of two channels added in 16 bits, saturated, where spans keep clear of it."""

    sums = _shorts

    @classmethod
    def add(cls, builder, total, a, w):
        bytes_, shorts = (vector(kind, cls.width // kind.width) for kind in (i8, i16))
        pairs = zip(*(_pieces(builder, v, 32 * LANES // cls.width) for v in (a, w)), strict=True)
        products = [
            call_instruction(builder, shorts, cls.instruction, *(builder.bitcast(v, bytes_) for v in pair))
            for pair in pairs
        ]
        return builder.add(total, _joined(builder, products))

    @classmethod
    def words(cls, builder, total):
        return _add_neighbours(builder, builder.sext(total, _widened))


class PairsOf128(_Pairs):
    width, instruction = 128, "x86.ssse3.pmadd.ub.sw.128"


class PairsOf256(_Pairs):
    width, instruction = 256, "x86.avx2.pmadd.ub.sw"


class PairsOf512(_Pairs):
    width, instruction = 512, "x86.avx512.pmaddubs.w.512"


class WideningBytes:
    """SMLAL: signed bytes multiplied and added in 16 bits, a sum for each channel of a word. LLVM knows the pattern."""

    sums = vector(i16, 4 * LANES)

    @classmethod
    def weights(cls, builder, words):
        return builder.sext(builder.bitcast(words, _bytes), cls.sums)

    activations = weights

    @staticmethod
    def add(builder, total, a, w):
        return builder.add(total, builder.mul(a, w))

    @staticmethod
    def words(builder, total):
        wide = builder.sext(total, vector(i32, 4 * LANES))
        return _add_neighbours(builder, _add_neighbours(builder, wide))


class WidePairs:
    """PMADDWD of a word's even bytes and of its odd ones, widened to 16 bits: for codes of any size."""

    sums = WORDS

    @staticmethod
    def weights(builder, words):
        return _even_and_odd(builder, words, builder.ashr)

    @staticmethod
    def activations(builder, words):
        return _even_and_odd(builder, words, builder.lshr)

    @staticmethod
    def add(builder, total, a, w):
        for left, right in zip(a, w, strict=True):
            total = builder.add(total, _add_neighbours(builder, builder.mul(left, right)))
        return total

    @staticmethod
    def words(builder, total):
        return total


def _even_and_odd(builder, words, shift) -> list:
    """The even and the odd bytes of words, widened to 16 bits by `shift` and again to 32."""
    eight = const(8, _shorts)
    both = builder.bitcast(words, _shorts)
    return [builder.sext(half, _widened) for half in (shift(builder.shl(both, eight), eight), shift(both, eight))]


PRODUCTS = {p.__name__: p for p in (DotOf512, DotOf128, PairsOf128, PairsOf256, PairsOf512, WideningBytes, WidePairs)}

"""How words of level codes are multiplied: 16 words of weights with one word of activations, added to 16 int32.

`spans` says whether the sums must be taken in spans to fit int32. A product has three steps, each given an LLVM
builder: `weights` (a vector of words, once for all pixels), `activations` (a word and the function that broadcasts it,
once for all lane blocks) and `add` (total, activations, weights). All are exact modulo 2^32, so what comes out is the
same at every CPU level.
"""

from __future__ import annotations

from llvmlite import ir

from paconv.kernels.arguments import LANES
from paconv.kernels.machine import call_instruction

__all__ = ["PRODUCTS"]

_i16, _i32 = ir.IntType(16), ir.IntType(32)
_words, _halves = ir.VectorType(_i32, LANES), ir.VectorType(_i16, LANES)
_shorts, _longs = ir.VectorType(_i16, 2 * LANES), ir.VectorType(_i32, 2 * LANES)


class _Vnni:
    """One AVX-512 VNNI instruction."""

    instruction: str

    @classmethod
    def weights(cls, builder, words):
        return words

    @classmethod
    def activations(cls, builder, word, broadcast):
        return broadcast(word)

    @classmethod
    def add(cls, builder, total, a, w):
        return call_instruction(builder, _words, f"x86.avx512.{cls.instruction}.512", total, a, w)


class VnniBytes(_Vnni):
    """Four unsigned activation bytes with four signed weight bytes."""

    spans = False
    instruction = "vpdpbusd"


class VnniWords(_Vnni):
    """Two signed pairs of 16 bits."""

    spans = True
    instruction = "vpdpwssd"


class PairWords:
    """Two signed pairs of 16 bits by PMADDWD and PADDD: LLVM knows the pattern."""

    spans = True

    @staticmethod
    def weights(builder, words):
        return builder.sext(builder.bitcast(words, _shorts), _longs)

    @staticmethod
    def activations(builder, word, broadcast):
        return builder.sext(builder.bitcast(broadcast(word), _shorts), _longs)

    @staticmethod
    def add(builder, total, a, w):
        product = builder.mul(a, w)
        even, odd = (
            builder.shuffle_vector(product, product, ir.Constant(_words, list(range(first, 2 * LANES, 2))))
            for first in (0, 1)
        )
        return builder.add(total, builder.add(even, odd))


def _halves_of_bytes(builder, words, signed: bool) -> list:
    """The even and the odd bytes of words, widened to 16 bits and again to 32."""
    eight = ir.Constant(_shorts, [8] * (2 * LANES))
    odd = builder.bitcast(words, _shorts)
    shift = builder.ashr if signed else builder.lshr
    return [builder.sext(half, _longs) for half in (shift(builder.shl(odd, eight), eight), shift(odd, eight))]


class PairBytes:
    """Four unsigned activation bytes with four signed weight bytes, by PMADDWD of the even ones and of the odd ones."""

    spans = False

    @staticmethod
    def weights(builder, words):
        return _halves_of_bytes(builder, words, True)

    @staticmethod
    def activations(builder, word, broadcast):
        return _halves_of_bytes(builder, broadcast(word), False)

    @staticmethod
    def add(builder, total, a, w):
        for left, right in zip(a, w, strict=True):
            total = PairWords.add(builder, total, left, right)
        return total


class WideningWords:
    """Two signed pairs of 16 bits by multiply-adds that widen (SMLAL), one for each half of the words."""

    spans = True

    @staticmethod
    def weights(builder, words):
        sixteen = ir.Constant(_words, [16] * LANES)
        halves = builder.trunc(words, _halves), builder.trunc(builder.lshr(words, sixteen), _halves)
        return [builder.sext(half, _words) for half in halves]

    @staticmethod
    def activations(builder, word, broadcast):
        sixteen = ir.Constant(_i32, 16)
        low, high = builder.ashr(builder.shl(word, sixteen), sixteen), builder.ashr(word, sixteen)
        return [broadcast(low), broadcast(high)]

    @staticmethod
    def add(builder, total, a, w):
        for left, right in zip(a, w, strict=True):
            total = builder.add(total, builder.mul(left, right))
        return total


PRODUCTS = (VnniBytes, VnniWords, PairBytes, PairWords, WideningWords)

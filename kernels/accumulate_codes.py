"""Accumulate level codes: integer dot products of one pixel tile, on vectors of LANES output channels.

    D = 1:  dots[p, 0, lane] = sum_t  w_hi . a_hi
    D = 2:  dots[p, 0, lane] = sum_t  w_hi . a_hi,    dots[p, 1, lane] = sum_t  w_lo . a_hi + w_hi . a_lo

where t goes over the window's words and "." is the dot product of a word's QUAD channels, signed weight bytes with
unsigned activation bytes, exact in int32 (see MAX_CODE_WINDOW). With AVX-512 VNNI a dot product of 16 words is one
VPDPBUSD; elsewhere bytes are widened to 16 bits and multiplied in pairs (VPMADDWD, SMLAL).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import LANES
from paconv.kernels.tiling import code_tile

__all__ = ["make_accumulate_codes"]

_i32, _i64 = ir.IntType(32), ir.IntType(64)
_vector = ir.VectorType(_i32, LANES)
_shorts = ir.VectorType(ir.IntType(16), 2 * LANES)
_pairs = ir.VectorType(_i32, 2 * LANES)


def make_accumulate_codes(D: int, budget: int, vnni: bool):
    """The function accumulate(pixels, image, pixel_offsets, tap_offsets, taps, run, weights, dots) for D digits.

    Arguments as in make_accumulate, with words of QUAD channels: image words (..., D) uint32; weights
    (taps*run, D, LANES) uint32, 64-byte aligned; dots: (P, D, LANES) int32, written. P = code_tile(D, budget).
    """

    def accumulate(pixels, image, pixel_offsets, tap_offsets, taps, run, weights, dots):
        _emit(D, budget, vnni, image, pixel_offsets, tap_offsets, taps, run, weights, dots)

    return accumulate


@intrinsic(prefer_literal=True)
def _emit(typingctx, D, budget, vnni, image, pixel_offsets, tap_offsets, taps, run, weights, dots):
    """Emit the microkernel; D, budget and vnni (a bool) are compile-time constants."""
    literal = isinstance(D, types.IntegerLiteral) and isinstance(budget, types.IntegerLiteral)
    if not (literal and isinstance(vnni, types.BooleanLiteral)):
        return None
    digits, pixels = D.literal_value, code_tile(D.literal_value, budget.literal_value)
    multiply = _Vnni if vnni.literal_value else _Widened

    def codegen(context, builder, signature, args):
        _emit_tile(builder, digits, pixels, multiply, *args[3:])
        return context.get_dummy_value()

    return types.void(D, budget, vnni, *[types.int64] * 7), codegen


class _Vnni:
    """Dot products by VPDPBUSD."""

    @staticmethod
    def split(builder, word, signed: bool):
        return word

    @staticmethod
    def add(builder, total, activation, weight):
        kind = ir.FunctionType(_vector, [_vector] * 3)
        dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
        return builder.call(dot, [total, activation, weight])


class _Widened:
    """Dot products of 16-bit pairs: the even bytes and the odd bytes of each word."""

    @staticmethod
    def split(builder, word, signed: bool):
        eight = ir.Constant(_shorts, [8] * (2 * LANES))
        odd = builder.bitcast(word, _shorts)
        shift = builder.ashr if signed else builder.lshr
        return shift(builder.shl(odd, eight), eight), shift(odd, eight)

    @staticmethod
    def add(builder, total, activation, weight):
        even = ir.Constant(_vector, list(range(0, 2 * LANES, 2)))
        odd = ir.Constant(_vector, list(range(1, 2 * LANES, 2)))
        for left, right in zip(activation, weight, strict=True):
            product = builder.mul(builder.sext(left, _pairs), builder.sext(right, _pairs), flags=["nsw"])
            pair = [builder.shuffle_vector(product, product, mask) for mask in (even, odd)]
            total = builder.add(total, builder.add(*pair, flags=["nsw"]))
        return total


def _emit_tile(builder, digits, pixels, multiply, image, pixel_offsets, tap_offsets, taps, run, weights, dots):
    """Two loops (taps, words of a run), all accumulators in phi nodes."""
    zero = ir.Constant(_vector, [0] * LANES)

    def const(value: int) -> ir.Constant:
        return ir.Constant(_i64, value)

    def load_at(address, kind, align: int):
        return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)

    def broadcast(scalar):
        undefined = ir.Constant(_vector, ir.Undefined)
        single = builder.insert_element(undefined, scalar, ir.Constant(_i32, 0))
        return builder.shuffle_vector(single, undefined, zero)

    starts = [builder.add(image, load_at(builder.add(pixel_offsets, const(8 * p)), _i64, 8)) for p in range(pixels)]
    before, function = builder.block, builder.function
    tap_loop, word_loop, tap_end, done = (
        function.append_basic_block(name) for name in ("tap", "word", "tap.end", "done")
    )
    builder.branch(tap_loop)

    def phis(block_before, initial: list) -> list:
        nodes = [builder.phi(value.type) for value in initial]
        for node, value in zip(nodes, initial, strict=True):
            node.add_incoming(value, block_before)
        return nodes

    builder.position_at_end(tap_loop)
    tap, tap_weights, *tap_sums = outer = phis(before, [const(0), weights, *[zero] * (pixels * digits)])
    offset = load_at(builder.add(tap_offsets, builder.mul(tap, const(8))), _i64, 8)
    runs = [builder.add(start, offset) for start in starts]
    builder.branch(word_loop)

    builder.position_at_end(word_loop)
    word, word_weights, *sums = inner = phis(tap_loop, [const(0), tap_weights, *tap_sums])
    position = builder.mul(word, const(4 * digits))
    w = [
        multiply.split(builder, load_at(builder.add(word_weights, const(4 * LANES * d)), _vector, 64), True)
        for d in range(digits)
    ]
    for p in range(pixels):
        at = builder.add(runs[p], position)
        a = [
            multiply.split(builder, broadcast(load_at(builder.add(at, const(4 * d)), _i32, 4)), False)
            for d in range(digits)
        ]
        first = p * digits
        sums[first] = multiply.add(builder, sums[first], a[0], w[0])
        if digits == 2:
            mixed = multiply.add(builder, sums[first + 1], a[0], w[1])
            sums[first + 1] = multiply.add(builder, mixed, a[1], w[0])
    next_word = builder.add(word, const(1))
    next_weights = builder.add(word_weights, const(4 * LANES * digits))
    for node, value in zip(inner, [next_word, next_weights, *sums], strict=True):
        node.add_incoming(value, word_loop)
    builder.cbranch(builder.icmp_signed("<", next_word, run), word_loop, tap_end)

    builder.position_at_end(tap_end)
    next_tap = builder.add(tap, const(1))
    for node, value in zip(outer, [next_tap, next_weights, *sums], strict=True):
        node.add_incoming(value, tap_end)
    builder.cbranch(builder.icmp_signed("<", next_tap, taps), tap_loop, done)

    builder.position_at_end(done)
    for k, value in enumerate(sums):
        target = builder.inttoptr(builder.add(dots, const(4 * LANES * k)), _vector.as_pointer())
        builder.store(value, target, align=64)

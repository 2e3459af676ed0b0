"""Accumulate: the counts of one pixel tile, AND + popcount + add on vectors of LANES output channels.

    counts[p, i, j, lane] = sum over the window's words t of popcount(weights[t, i, lane] & image[p, t, j])

The microkernel is emitted as LLVM vector instructions: one weight vector holds word t of plane i for LANES output
channels, one activation word is broadcast to all lanes. LLVM lowers `ctpop` to VPOPCNTD, vpshufb or cnt.

There is one function for each (M, N), divided by kernels/tiling.py for the registers of the CPU level it is made for;
the convolution tasks call it by address.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import LANES
from paconv.kernels.tiling import tiling

__all__ = ["ACCUMULATE_SIGNATURE", "call_accumulate", "make_accumulate"]

ACCUMULATE_SIGNATURE = types.void(*[types.int64] * 7)


def make_accumulate(M: int, N: int, budget: int):
    """The function accumulate(image, pixel_offsets, tap_offsets, taps, run, weights, counts) for M, N.

    image: address of the activation words; pixel_offsets: (P,) int64 bytes; tap_offsets: (taps,) int64 bytes;
    run: words in a tap's run; weights: (taps*run, M, LANES) uint32, 64-byte aligned;
    counts: (P, M, N, LANES) int32, 64-byte aligned, written. P = tiling(M, N, budget).pixels.
    """

    def accumulate(image, pixel_offsets, tap_offsets, taps, run, weights, counts):
        _emit(M, N, budget, image, pixel_offsets, tap_offsets, taps, run, weights, counts)

    return accumulate


@intrinsic
def call_accumulate(typingctx, address, image, pixel_offsets, tap_offsets, taps, run, weights, counts):
    """Call the accumulate function at `address`; all arguments int64."""

    def codegen(context, builder, signature, args):
        i64 = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [i64] * 7)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), codegen


@intrinsic(prefer_literal=True)
def _emit(typingctx, M, N, budget, image, pixel_offsets, tap_offsets, taps, run, weights, counts):
    """Emit the microkernel; M, N and budget are compile-time constants."""
    if not all(isinstance(t, types.IntegerLiteral) for t in (M, N, budget)):
        return None
    planes = M.literal_value, N.literal_value
    plan = tiling(*planes, budget.literal_value)

    def codegen(context, builder, signature, args):
        for block in plan.blocks:
            _emit_block(builder, planes, block, plan.pixels, *args[3:])
        return context.get_dummy_value()

    return types.void(M, N, budget, *[types.int64] * 7), codegen


def _emit_block(builder, planes, block, pixels, image, pixel_offsets, tap_offsets, taps, run, weights, counts):
    """One sub-block's pass over the window: two loops (taps, words of a run), all accumulators in phi nodes."""
    M, N = planes
    i0, m, j0, n = block
    i32, i64 = ir.IntType(32), ir.IntType(64)
    vector = ir.VectorType(i32, LANES)
    zero = ir.Constant(vector, [0] * LANES)
    lanes = ir.Constant(vector, [0] * LANES)
    ctpop = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), f"llvm.ctpop.v{LANES}i32")

    def const(value: int) -> ir.Constant:
        return ir.Constant(i64, value)

    def load_at(address, kind, align: int):
        return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)

    def broadcast(scalar):
        undefined = ir.Constant(vector, ir.Undefined)
        single = builder.insert_element(undefined, scalar, ir.Constant(i32, 0))
        return builder.shuffle_vector(single, undefined, lanes)

    starts = [builder.add(image, load_at(builder.add(pixel_offsets, const(8 * p)), i64, 8)) for p in range(pixels)]
    before = builder.block
    function = builder.function
    tap_loop = function.append_basic_block("tap")
    word_loop = function.append_basic_block("word")
    tap_end = function.append_basic_block("tap.end")
    done = function.append_basic_block("done")
    builder.branch(tap_loop)

    def phis(count: int, initial) -> list:
        nodes = [builder.phi(initial.type) for _ in range(count)]
        for node in nodes:
            node.add_incoming(initial, before)
        return nodes

    builder.position_at_end(tap_loop)
    (tap,), (tap_weights,) = phis(1, const(0)), phis(1, weights)
    tap_counts = phis(pixels * m * n, zero)
    offset = load_at(builder.add(tap_offsets, builder.mul(tap, const(8))), i64, 8)
    runs = [builder.add(start, offset) for start in starts]
    builder.branch(word_loop)

    builder.position_at_end(word_loop)
    word = builder.phi(i64)
    word.add_incoming(const(0), tap_loop)
    word_weights = builder.phi(i64)
    word_weights.add_incoming(tap_weights, tap_loop)
    word_counts = [builder.phi(vector) for _ in tap_counts]
    for inner, outer in zip(word_counts, tap_counts, strict=True):
        inner.add_incoming(outer, tap_loop)
    position = builder.mul(word, const(4 * N))
    w = [load_at(builder.add(word_weights, const(4 * LANES * (i0 + i))), vector, 4 * LANES) for i in range(m)]
    sums = []
    for p in range(pixels):
        words = builder.add(runs[p], position)
        for j in range(n):
            a = broadcast(load_at(builder.add(words, const(4 * (j0 + j))), i32, 4))
            for i in range(m):
                both = builder.and_(w[i], a)
                sums.append(builder.add(word_counts[len(sums)], builder.call(ctpop, [both])))
    next_word = builder.add(word, const(1))
    next_weights = builder.add(word_weights, const(4 * LANES * M))
    word.add_incoming(next_word, word_loop)
    word_weights.add_incoming(next_weights, word_loop)
    for node, value in zip(word_counts, sums, strict=True):
        node.add_incoming(value, word_loop)
    builder.cbranch(builder.icmp_signed("<", next_word, run), word_loop, tap_end)

    builder.position_at_end(tap_end)
    next_tap = builder.add(tap, const(1))
    tap.add_incoming(next_tap, tap_end)
    tap_weights.add_incoming(next_weights, tap_end)
    for node, value in zip(tap_counts, sums, strict=True):
        node.add_incoming(value, tap_end)
    builder.cbranch(builder.icmp_signed("<", next_tap, taps), tap_loop, done)

    builder.position_at_end(done)
    values = iter(sums)
    for p in range(pixels):
        for j in range(n):
            for i in range(m):
                slot = ((p * M + i0 + i) * N + j0 + j) * 4 * LANES
                target = builder.inttoptr(builder.add(counts, const(slot)), vector.as_pointer())
                builder.store(next(values), target, align=4 * LANES)

"""Accumulate: the counts of one pixel tile, AND + popcount + add on vectors of LANES output channels.

    counts[p, i, j, lane] = sum over the window's words t of popcount(weights[t, i, lane] & image[p, t, j])

The microkernel is emitted as LLVM vector instructions: one weight vector holds word t of plane i for LANES output
channels, one activation word is broadcast to all lanes. LLVM lowers `ctpop` to VPOPCNTD, vpshufb or cnt.

Register budget: a sub-block of m weight planes, n activation planes and P pixels keeps m*n*P accumulators in vector
registers beside its m weight vectors. Where M*N is more than the budget, the tile is taken in several sub-blocks,
each a pass over the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import LANES

__all__ = ["MAX_TILE", "Tiling", "accumulate", "accumulator_budget", "cpu_features", "tiling"]

MAX_TILE = 8
"""Most pixels in a tile."""


@dataclass(frozen=True)
class Tiling:
    """How (M, N) is taken: `pixels` of a tile, and sub-blocks (first i, m, first j, n) that cover M x N."""

    pixels: int
    blocks: tuple[tuple[int, int, int, int], ...]


def accumulator_budget(features: str) -> int:
    """How many accumulators of LANES int32 fit in the vector registers, beside weights and temporaries.

    features: LLVM feature string ("+avx512f,-..."). AVX-512 has 32 registers of 16 lanes; elsewhere a vector of 16
    lanes takes several registers (AVX2: 2 of 16, NEON: 4 of 32), and popcount without VPOPCNTD needs temporaries.
    """
    return 28 if "+avx512f" in features.split(",") else 6


def tiling(M: int, N: int, budget: int) -> Tiling:
    """Split M x N planes into as few equal sub-blocks as fit the budget, and take as many pixels as then still fit."""
    best = min(
        (
            (rows, columns)
            for rows in range(1, M + 1)
            for columns in range(1, N + 1)
            if -(-M // rows) * -(-N // columns) <= budget
        ),
        key=lambda parts: (parts[0] * parts[1], parts[0]),
    )
    row_sizes, column_sizes = _split(M, best[0]), _split(N, best[1])
    pixels = max(1, min(MAX_TILE, budget // (row_sizes[0] * column_sizes[0])))
    blocks = tuple(
        (sum(row_sizes[:a]), m, sum(column_sizes[:b]), n)
        for a, m in enumerate(row_sizes)
        for b, n in enumerate(column_sizes)
    )
    return Tiling(pixels, blocks)


def _split(count: int, parts: int) -> list[int]:
    """`count` in `parts` nearly equal sizes, the larger first."""
    return [count // parts + (k < count % parts) for k in range(parts)]


@intrinsic(prefer_literal=True)
def accumulate(typingctx, M, N, image, pixel_offsets, tap_offsets, taps, run, weights, counts):
    """Emit the microkernel for M, N (compile-time constants), tiled by tiling(M, N, budget of the CPU compiled for).

    image: address of the activation words; pixel_offsets: (P,) int64 bytes; tap_offsets: (taps,) int64 bytes;
    run: words in a tap's run; weights: (taps*run, M, LANES) uint32, 64-byte aligned;
    counts: (P, M, N, LANES) int32, 64-byte aligned, written.
    """
    if not (isinstance(M, types.IntegerLiteral) and isinstance(N, types.IntegerLiteral)):
        return None
    planes = M.literal_value, N.literal_value
    signature = types.void(M, N, *[types.int64] * 7)

    def codegen(context, builder, signature, args):
        plan = tiling(*planes, accumulator_budget(cpu_features()))
        for block in plan.blocks:
            _emit_block(builder, planes, block, plan.pixels, *args[2:])
        return context.get_dummy_value()

    return signature, codegen


def cpu_features() -> str:
    """LLVM features of the CPU that Numba compiles for (NUMBA_CPU_FEATURES, or the host's)."""
    return numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[2]


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

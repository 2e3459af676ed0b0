"""Accumulate level codes: integer dot products of one tile, pixels x lane blocks, on vectors of LANES output channels.

    codes of 8 bits      dots[b, p, lane] = float32( start[b, lane] + sum_t  weights[b, t, lane] . image[p, t] )
    codes of 16 bits     dots[b, p, lane] = sum_s  float32( sum_{t in span s}  weights[b, t, lane] . image[p, t] )

where t goes over the window's words and "." is the dot product of the channels that share a word, exact in int32 (the
caller sees to that: kernels/conv_codes.py). A run's first `span` words are a span, the next, and so on. Each activation
word is broadcast once for all the tile's lane blocks, each weight vector loaded once for all its pixels.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from paconv.kernels.arguments import LANES
from paconv.kernels.loops import repeat
from paconv.kernels.products import PRODUCTS
from paconv.kernels.tiling import CodeTile

__all__ = ["CODES_SIGNATURE", "call_accumulate_codes", "make_accumulate_codes"]

CODES_SIGNATURE = types.void(*[types.int64] * 12)

_i32, _i64, _f32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_words, _floats = ir.VectorType(_i32, LANES), ir.VectorType(_f32, LANES)
_VECTOR = 4 * LANES


def make_accumulate_codes(product: int, tile: CodeTile):
    """The function accumulate(pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes,
    start, dots) for codes of one digit, multiplied by PRODUCTS[product].

    1 <= pixels <= tile.pixels and 1 <= blocks <= tile.blocks: how much of a tile is wanted; pixel_offsets
    (tile.pixels,) int64 bytes, all of which must be readable places; image, tap_offsets, taps, run as in
    make_accumulate; weights: (taps*run, LANES) uint32 of the first lane block, those of the next `block_bytes` further;
    start: (blocks, LANES) int32; dots: (tile.blocks, tile.pixels, LANES) float32, written. Vectors are 64-byte aligned.
    """
    most_pixels, most_blocks = tile.pixels, tile.blocks

    def accumulate(
        pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes, start, dots
    ):  # fmt: skip
        _emit(
            product, most_pixels, most_blocks, pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span,
            weights, block_bytes, start, dots,
        )  # fmt: skip

    return accumulate


@intrinsic
def call_accumulate_codes(
    typingctx,
    address,
    pixels,
    blocks,
    image,
    pixel_offsets,
    tap_offsets,
    taps,
    run,
    span,
    weights,
    block_bytes,
    start,
    dots,
):
    """Call the accumulate function at `address`; all arguments int64."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_i64] * 12)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 13), codegen


@intrinsic(prefer_literal=True)
def _emit(
    typingctx, product, most_pixels, most_blocks, pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span,
    weights, block_bytes, start, dots,
):  # fmt: skip
    """Emit a microkernel for each size of a tile, and the choice among them; the first three are constants."""
    constants = product, most_pixels, most_blocks
    if not all(isinstance(t, types.IntegerLiteral) for t in constants):
        return None
    tile = CodeTile(most_blocks.literal_value, most_pixels.literal_value)
    multiply = PRODUCTS[product.literal_value]

    def codegen(context, builder, signature, args):
        pixels, blocks, *rest = args[3:]
        function = builder.function
        end = function.append_basic_block("end")
        for b in range(1, tile.blocks + 1):
            for p in tile.sizes:
                here, other = function.append_basic_block(f"tile{b}x{p}"), function.append_basic_block("other")
                wanted = builder.and_(
                    builder.icmp_signed("<=", blocks, ir.Constant(_i64, b)),
                    builder.icmp_signed("<=", pixels, ir.Constant(_i64, p)),
                )
                builder.cbranch(wanted, here, other)
                builder.position_at_end(here)
                _emit_tile(builder, b, p, tile.pixels, multiply, *rest)
                builder.branch(end)
                builder.position_at_end(other)
        builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(*constants, *[types.int64] * 12), codegen


def _emit_tile(
    builder, blocks, pixels, row, multiply, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes,
    start, dots,
):  # fmt: skip
    """Loops over taps, spans and words, all sums in phi nodes. row: pixels between the blocks of `dots`."""
    lanes = ir.Constant(_words, [0] * LANES)

    def const(value: int) -> ir.Constant:
        return ir.Constant(_i64, value)

    def load_at(address, kind, align: int):
        return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)

    def broadcast(scalar):
        undefined = ir.Constant(_words, ir.Undefined)
        return builder.shuffle_vector(builder.insert_element(undefined, scalar, ir.Constant(_i32, 0)), undefined, lanes)

    def less(left, right):
        return builder.icmp_signed("<", left, right)

    def add_words(runs, position, end, at_weights, sums):
        """The words from `position` to `end` (bytes) of the runs; returns (next weights, sums)."""

        def body(position, at_weights, *sums):
            sums, w, at = list(sums), [], at_weights
            for _ in range(blocks):
                w.append(multiply.weights(builder, load_at(at, _words, _VECTOR)))
                at = builder.add(at, block_bytes)
            for p, start_of_run in enumerate(runs):
                word = load_at(builder.add(start_of_run, position), _i32, 4)
                a = multiply.activations(builder, word, broadcast)
                for b in range(blocks):
                    sums[p * blocks + b] = multiply.add(builder, sums[p * blocks + b], a, w[b])
            position = builder.add(position, const(4))
            return [position, builder.add(at_weights, const(_VECTOR)), *sums], less(position, end)

        _, at_weights, *sums = repeat(builder, [position, at_weights, *sums], body)
        return at_weights, sums

    def as_floats(sums):
        return [builder.sitofp(value, _floats) for value in sums]

    def runs_of(tap):
        offset = load_at(builder.add(tap_offsets, builder.mul(tap, const(8))), _i64, 8)
        return [builder.add(start_of_pixel, offset) for start_of_pixel in starts]

    def whole_window():
        def tap_body(tap, at_weights, *sums):
            at_weights, sums = add_words(runs_of(tap), const(0), run_bytes, at_weights, sums)
            tap = builder.add(tap, const(1))
            return [tap, at_weights, *sums], less(tap, taps)

        first = [load_at(builder.add(start, const(_VECTOR * b)), _words, _VECTOR) for b in range(blocks)]
        return as_floats(repeat(builder, [const(0), weights, *first * pixels], tap_body)[2:])

    def by_spans():
        def tap_body(tap, at_weights, *totals):
            runs = runs_of(tap)

            def span_body(position, at_weights, *totals):
                most = builder.add(position, span_bytes)
                end = builder.select(less(most, run_bytes), most, run_bytes)
                at_weights, sums = add_words(runs, position, end, at_weights, [lanes] * len(totals))
                totals = [builder.fadd(total, value) for total, value in zip(totals, as_floats(sums), strict=True)]
                return [end, at_weights, *totals], less(end, run_bytes)

            _, at_weights, *totals = repeat(builder, [const(0), at_weights, *totals], span_body)
            tap = builder.add(tap, const(1))
            return [tap, at_weights, *totals], less(tap, taps)

        zero = ir.Constant(_floats, [0.0] * LANES)
        return repeat(builder, [const(0), weights, *[zero] * (pixels * blocks)], tap_body)[2:]

    starts = [builder.add(image, load_at(builder.add(pixel_offsets, const(8 * p)), _i64, 8)) for p in range(pixels)]
    run_bytes, span_bytes = builder.mul(run, const(4)), builder.mul(span, const(4))
    totals = by_spans() if multiply.spans else whole_window()
    for p in range(pixels):
        for b in range(blocks):
            address = builder.add(dots, const(_VECTOR * (b * row + p)))
            builder.store(totals[p * blocks + b], builder.inttoptr(address, _floats.as_pointer()), align=_VECTOR)

"""The convolution task on level codes: tiles of pixels through accumulate_codes and the finish, stored as Y.

    Y[o] = base_o + sum_d phi[o, d] * dots[d] + sum_d correction[o, d] * S_d

S_d are the window's sums of the activations' digits. They cost a few additions a pixel, shared by all output channels,
and put right the mean of what the dot products leave out: the mean error of the window's weights and, for two digits,
the mean of the products of low digits. What remains is the spread around those means, which the window averages out.

Dot products are exact integers, over the whole window for digits of 8 bits (MAX_CODE_WINDOW), over spans of it for
those of 16 bits, which are added up in float32, in order. Spans are the node's own, whatever the tile, and the rest is
exact integers and float arithmetic in a fixed order: the same bits for any tile, thread count and CPU level.

Tasks are those of kernels/conv.py, but the pixels are divided evenly among the chunks.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.accumulate_codes import call_accumulate_codes
from paconv.kernels.arguments import LANES, PIXEL_CHUNK, F
from paconv.kernels.compare import store_channel_last
from paconv.kernels.finish import store_channel_first
from paconv.kernels.memory import pointer, stack_buffer
from paconv.kernels.tiling import MAX_CODE_BLOCKS, MAX_CODE_PIXELS

__all__ = ["conv_codes"]

_inline = njit(inline="always", error_model="numpy")
_OFFSETS = PIXEL_CHUNK + MAX_CODE_PIXELS
_OFFSETS_BYTES = 8 * _OFFSETS
_VECTOR = 4 * LANES
_DOTS_BYTES = 2 * MAX_CODE_BLOCKS * MAX_CODE_PIXELS * _VECTOR
_OUT_BYTES = PIXEL_CHUNK * _VECTOR
_OUTS_BYTES = MAX_CODE_BLOCKS * _OUT_BYTES
_SUMS_BYTES = 8 * PIXEL_CHUNK


@_inline
def _task_range(a, task):
    """Task number -> (image b*G + g, first pixel, pixels, first lane block, end of lane blocks), as task_range does."""
    pixels, chunk, rest = a[F.OH] * a[F.OW], task % a[F.pixel_chunks], task // a[F.pixel_chunks]
    first_pixel, last_pixel = chunk * pixels // a[F.pixel_chunks], (chunk + 1) * pixels // a[F.pixel_chunks]
    first_block = rest % a[F.block_chunks] * a[F.blocks_per_task]
    last_block = min(first_block + a[F.blocks_per_task], a[F.OB])
    return rest // a[F.block_chunks], first_pixel, last_pixel - first_pixel, first_block, last_block


@_inline
def _windows(a, image, word_bytes, offsets, window, first_pixel, count):
    """Where the windows of pixels first_pixel + p begin, and what their activations add up to.

    offsets[p]: bytes from the image's first word, the last one repeated to fill a tile; window[p] = (S_0, S_1), S_1
    being 0 for one digit.
    """
    D, KH, KW, DH, DW, Wp = a[F.D], a[F.KH], a[F.KW], a[F.DH], a[F.DW], a[F.Wp]
    positions = a[F.Hp] * Wp
    sums = carray(pointer(a[F.sums] + image * positions * D * 4), (positions * D,), np.int32)
    row, column = first_pixel // a[F.OW], first_pixel % a[F.OW]
    for p in range(count):
        start = row * a[F.SH] * Wp + column * a[F.SW]
        offsets[p] = start * word_bytes
        first, second = np.int64(0), np.int64(0)
        for kh in range(KH):
            at = (start + kh * DH * Wp) * D
            for kw in range(KW):
                first += sums[at + kw * DW * D]
            if D == 2:
                for kw in range(KW):
                    second += sums[at + kw * DW * D + 1]
        window[p, 0], window[p, 1] = np.float32(first), np.float32(second)
        column += 1
        if column == a[F.OW]:
            row, column = row + 1, np.int64(0)
    for p in range(count, count + MAX_CODE_PIXELS - 1):
        offsets[p] = offsets[count - 1]


def conv_codes(arguments, task):
    """Writes Y (B, O, OH, OW) float32, or what a channel-last finish is asked for."""
    a = carray(arguments, (len(F),), np.int64)
    D, P, tile_blocks = a[F.D], a[F.tile], a[F.tile_blocks]
    image, first_pixel, count, first_block, last_block = _task_range(a, np.int64(task))
    batch, group = image // a[F.G], image % a[F.G]
    word_bytes = a[F.CW] * D * 4
    words = a[F.words] + image * a[F.Hp] * a[F.Wp] * word_bytes
    block_bytes = a[F.KH] * a[F.KW] * word_bytes * LANES

    offsets_at, dots_at, out_at = stack_buffer(_OFFSETS_BYTES), stack_buffer(_DOTS_BYTES), stack_buffer(_OUTS_BYTES)
    window_at = stack_buffer(_SUMS_BYTES)
    offsets = carray(pointer(offsets_at), (_OFFSETS,), np.int64)
    window = carray(pointer(window_at), (PIXEL_CHUNK, 2), np.float32)
    _windows(a, image, word_bytes, offsets, window, first_pixel, count)
    tiles = (count + P - 1) // P
    b = first_block
    while b < last_block:
        blocks, block = min(tile_blocks, last_block - b), group * a[F.OB] + b
        weights, start = a[F.weight_words] + block * block_bytes, a[F.start] + block * D * _VECTOR
        for tile in range(tiles):
            p, end = tile * count // tiles, (tile + 1) * count // tiles
            call_accumulate_codes(
                a[F.accumulate], end - p, blocks, words, offsets_at + 8 * p, a[F.tap_offsets], a[F.taps], a[F.run],
                a[F.span], weights, block_bytes, start, dots_at,
            )  # fmt: skip
            for k in range(blocks):
                lanes = (block + k) * _VECTOR
                _finish(
                    out_at + k * _OUT_BYTES + p * _VECTOR, end - p, dots_at + k * P * D * _VECTOR, window_at + 8 * p,
                    a[F.base] + lanes, a[F.phi] + lanes * D, a[F.correction] + lanes * D, D,
                )  # fmt: skip
        for k in range(blocks):
            if a[F.channel_last]:
                store_channel_last(a, out_at + k * _OUT_BYTES, batch, group, b + k, first_pixel, count)
            else:
                store_channel_first(a, out_at + k * _OUT_BYTES, batch, group, b + k, first_pixel, count)
        b += blocks


_i32, _i64, _f32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_floats = ir.VectorType(_f32, LANES)


def _vector(builder, address, offset: int = 0):
    """Pointer to an aligned vector."""
    return builder.inttoptr(builder.add(address, ir.Constant(_i64, offset)), _floats.as_pointer())


@intrinsic
def _finish(typingctx, out, count, dots, window, base, phi, correction, D):
    """out[p] = base + phi[0]*dots[p, 0] (+ phi[1]*dots[p, 1]) + correction[0]*window[p, 0] (+ correction[1]*window[p,
    1]), each product rounded, added from the left. out (count, LANES); dots (count, D, LANES); window (count, 2); base
    (LANES,); phi, correction (D, LANES); float32, all but window 64-byte aligned.
    """

    def codegen(context, builder, signature, args):
        out, count, dots, window, base, phi, correction, D = args
        zero = ir.Constant(ir.VectorType(_i32, LANES), [0] * LANES)

        def load(address, offset: int = 0):
            return builder.load(_vector(builder, address, offset), align=_VECTOR)

        def broadcast(address, offset: int):
            place = builder.inttoptr(builder.add(address, ir.Constant(_i64, offset)), _f32.as_pointer())
            undefined = ir.Constant(_floats, ir.Undefined)
            single = builder.insert_element(undefined, builder.load(place, align=4), ir.Constant(_i32, 0))
            return builder.shuffle_vector(single, undefined, zero)

        def finish(digits: int) -> None:
            first = load(base)
            factors = [load(phi, _VECTOR * d) for d in range(digits)]
            corrections = [load(correction, _VECTOR * d) for d in range(digits)]
            with cgutils.for_range(builder, count, intp=_i64) as loop:
                at = builder.mul(loop.index, ir.Constant(_i64, _VECTOR))
                dot = builder.add(dots, builder.mul(at, ir.Constant(_i64, digits)))
                sums = builder.add(window, builder.mul(loop.index, ir.Constant(_i64, 8)))
                total = first
                for d, factor in enumerate(factors):
                    total = builder.fadd(total, builder.fmul(factor, load(dot, _VECTOR * d)))
                for d, factor in enumerate(corrections):
                    total = builder.fadd(total, builder.fmul(factor, broadcast(sums, 4 * d)))
                builder.store(total, _vector(builder, builder.add(out, at)), align=_VECTOR)

        with builder.if_else(builder.icmp_signed("==", D, ir.Constant(_i64, 2))) as (two, one):
            with two:
                finish(2)
            with one:
                finish(1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), codegen

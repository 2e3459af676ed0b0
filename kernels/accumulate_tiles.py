"""Accumulate level codes of 8 bits on AMX-INT8: dot products of one tile, pixels x lane blocks, by tiles of 16 x 64
bytes.

    D = 1:  dots[b, p, 0, lane] = float32( start[b, 0, lane] + sum_t  w_hi . a_hi )
    D = 2:  the same, and         dots[b, p, 1, lane] = float32( start[b, 1, lane] + sum_t  w_lo . a_hi + w_hi . a_lo )

where t goes over the window's words and "." is the dot product of a word's four channels, unsigned activation bytes
with signed weight bytes, exact in int32 (MAX_CODE_WINDOW). Words of weights lie as a tile wants them: row t, LANES
words. Activations don't: pixels are at any distance, and for D = 2 their digits alternate. So _STEPS tiles' worth of
words of all pixels is first copied to rows of a panel, digits apart, the words past a run's end zero; the weights that
these meet are of the next run, or of the slack past the last.

Registers: D = 1 has 2 x 2 tiles of sums (halves of 16 pixels, blocks), tiles 0 to 3, activations in 4 and 5, weights in
6 and 7. D = 2 has sums of high and of mixed products for two blocks, 0 to 3, activations' high and low digits in 4 and
5, weights' in 6 and 7.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.arguments import LANES
from paconv.kernels.memory import stack_buffer
from paconv.kernels.tiles import ROW_BYTES, SoftTiles, Tiles
from paconv.kernels.tiling import TILE_ROWS as ROWS
from paconv.kernels.tiling import amx_tile

__all__ = ["make_accumulate_tiles"]

_STEPS = 8
_PANEL_ROW = _STEPS * ROW_BYTES
_PANEL_BYTES = 2 * ROWS * _PANEL_ROW
_SUMS_BYTES = ROWS * ROW_BYTES
_WORDS = ROW_BYTES // 4

_i32, _i64, _f32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_words, _floats = ir.VectorType(_i32, LANES), ir.VectorType(_f32, LANES)


def make_accumulate_tiles(D: int, soft: bool):
    """The function accumulate(pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes,
    start, dots) for codes of D digits of 8 bits; arguments as in make_accumulate_codes, with `image` (..., D), weights
    (taps*run, D, LANES) and ROWS rows of slack behind them, start (blocks, D, LANES) and dots (2, pixels, D,
    LANES) with the pixels and blocks of kernels/tiling.py's amx_tile(D). `soft`: with tiles in memory, for tests.
    """
    hardware = not soft

    def accumulate(
        pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes, start, dots
    ):  # fmt: skip
        panel, sums = stack_buffer(_PANEL_BYTES), stack_buffer(_SUMS_BYTES)
        _emit(
            D, hardware, blocks, image, pixel_offsets, tap_offsets, taps, run, weights, block_bytes, start, dots, panel,
            sums,
        )  # fmt: skip

    return accumulate


@intrinsic(prefer_literal=True)
def _emit(
    typingctx, D, hardware, blocks, image, pixel_offsets, tap_offsets, taps, run, weights, block_bytes, start, dots,
    panel, sums,
):  # fmt: skip
    """Emit the program for one and for two lane blocks; D and hardware are constants."""
    if not (isinstance(D, types.IntegerLiteral) and isinstance(hardware, types.BooleanLiteral)):
        return None
    digits, kind = D.literal_value, Tiles if hardware.literal_value else SoftTiles

    def codegen(context, builder, signature, args):
        blocks, *rest = args[2:]
        tiles = kind(builder)
        tiles.begin()
        one = builder.icmp_signed("==", blocks, ir.Constant(_i64, 1))
        with builder.if_else(one) as (then, otherwise):
            with then:
                _Program(builder, tiles, digits, 1).emit(*rest)
            with otherwise:
                _Program(builder, tiles, digits, amx_tile(digits).blocks).emit(*rest)
        tiles.end()
        return context.get_dummy_value()

    return types.void(D, hardware, *[types.int64] * 12), codegen


class _Program:
    """The program for D digits and `blocks` lane blocks."""

    def __init__(self, builder, tiles, D: int, blocks: int):
        self._builder, self._tiles, self._D, self._blocks = builder, tiles, D, blocks
        self._pixels = amx_tile(D).pixels

    def emit(
        self, image, pixel_offsets, tap_offsets, taps, run, weights, block_bytes, start, dots, panel, sums
    ) -> None:
        builder, D = self._builder, self._D
        for tile in range(4):
            self._tiles.zero(tile)
        run_weights = builder.mul(run, self._const(ROW_BYTES * D))
        with cgutils.for_range(builder, taps, intp=_i64) as tap:
            offset = builder.load(self._at(self._plus(tap_offsets, tap.index, 8), _i64), align=8)
            first = builder.add(image, offset)
            tap_weights = builder.add(weights, builder.mul(tap.index, run_weights))
            words = self._const(_STEPS * _WORDS)
            chunks = builder.udiv(builder.add(run, self._const(_STEPS * _WORDS - 1)), words)
            with cgutils.for_range(builder, chunks, intp=_i64) as chunk:
                word = builder.mul(chunk.index, words)
                left = builder.sub(run, word)
                count = builder.select(builder.icmp_signed("<", left, words), left, words)
                self._fill_panel(self._plus(first, word, 4 * D), pixel_offsets, count, panel)
                self._multiply(self._plus(tap_weights, word, ROW_BYTES * D), block_bytes, count, panel)
        self._store(start, dots, sums)

    def _fill_panel(self, first, pixel_offsets, count, panel) -> None:
        """Row p of digit d's half holds the pixel's next `count` words of that digit, then zeros to a whole tile's
        row.
        """
        builder, D = self._builder, self._D
        whole = builder.lshr(count, self._const(4))
        rest = builder.and_(count, self._const(_WORDS - 1))
        with cgutils.for_range(builder, self._const(self._pixels), intp=_i64) as pixel:
            offset = builder.load(self._at(self._plus(pixel_offsets, pixel.index, 8), _i64), align=8)
            source, target = builder.add(first, offset), self._plus(panel, pixel.index, _PANEL_ROW)
            with cgutils.for_range(builder, whole, intp=_i64) as step:
                at = self._plus(source, step.index, ROW_BYTES * D)
                vectors = [self._load(self._plus(at, self._const(d), ROW_BYTES), align=4) for d in range(D)]
                for d, vector in enumerate(self._digits_apart(vectors)):
                    self._store_row(vector, self._panel_row(target, d, step.index))
            with builder.if_then(builder.icmp_signed(">", rest, self._const(0))):
                zero = ir.Constant(_words, [0] * LANES)
                for d in range(D):
                    self._store_row(zero, self._panel_row(target, d, whole))
                at = self._plus(source, whole, ROW_BYTES * D)
                with cgutils.for_range(builder, rest, intp=_i64) as word:
                    for d in range(D):
                        place = self._plus(self._plus(at, word.index, 4 * D), self._const(d), 4)
                        value = builder.load(self._at(place, _i32), align=4)
                        row = self._panel_row(target, d, whole)
                        builder.store(value, self._at(self._plus(row, word.index, 4), _i32), align=4)

    def _digits_apart(self, vectors: list) -> list:
        if self._D == 1:
            return vectors
        masks = (ir.Constant(_words, list(range(d, 2 * LANES, 2))) for d in range(2))
        return [self._builder.shuffle_vector(*vectors, mask) for mask in masks]

    def _panel_row(self, row, digit: int, step):
        half = self._builder.add(row, self._const(digit * ROWS * _PANEL_ROW))
        return self._plus(half, step, ROW_BYTES)

    def _multiply(self, weights, block_bytes, count, panel) -> None:
        builder, tiles, D = self._builder, self._tiles, self._D
        steps = builder.lshr(builder.add(count, self._const(_WORDS - 1)), self._const(4))
        panel_stride, weight_stride = self._const(_PANEL_ROW), self._const(ROW_BYTES * D)
        with cgutils.for_range(builder, steps, intp=_i64) as step:
            a = self._plus(panel, step.index, ROW_BYTES)
            w = self._plus(weights, step.index, ROWS * ROW_BYTES * D)
            for half in range(2):  # of the pixels (D = 1), or the digits (D = 2)
                tiles.load(4 + half, builder.add(a, self._const(half * ROWS * _PANEL_ROW)), panel_stride)
            for b in range(self._blocks):
                if D == 1:
                    tiles.load(6 + b, w, weight_stride)
                    for half in range(2):
                        tiles.dot(2 * half + b, 4 + half, 6 + b)
                else:
                    tiles.load(6, w, weight_stride)
                    tiles.load(7, builder.add(w, self._const(ROW_BYTES)), weight_stride)
                    tiles.dot(b, 4, 6)
                    tiles.dot(2 + b, 4, 7)
                    tiles.dot(2 + b, 5, 6)
                w = builder.add(w, block_bytes)

    def _store(self, start, dots, sums) -> None:
        """dots[b, p, d] from tile 2*half + b (D = 1: p = 16*half + row), or from tile 2*d + b (D = 2: p = row)."""
        builder, D = self._builder, self._D
        for half in range(2):
            for b in range(self._blocks):
                digit = half if D == 2 else 0
                self._tiles.store(2 * half + b, sums, self._const(ROW_BYTES))
                base = self._load(builder.add(start, self._const((b * D + digit) * ROW_BYTES)), align=64)
                slot = (b * self._pixels + (ROWS * half if D == 1 else 0)) * D + digit
                first = builder.add(dots, self._const(slot * ROW_BYTES))
                with cgutils.for_range(builder, self._const(ROWS), intp=_i64) as row:
                    total = builder.add(self._load(self._plus(sums, row.index, ROW_BYTES), align=64), base)
                    target = self._at(self._plus(first, row.index, ROW_BYTES * D), _floats)
                    builder.store(builder.sitofp(total, _floats), target, align=64)

    def _const(self, value: int):
        return ir.Constant(_i64, value)

    def _plus(self, address, index, size: int):
        return self._builder.add(address, self._builder.mul(index, self._const(size)))

    def _at(self, address, kind):
        return self._builder.inttoptr(address, kind.as_pointer())

    def _load(self, address, align: int):
        return self._builder.load(self._at(address, _words), align=align)

    def _store_row(self, vector, address) -> None:
        self._builder.store(vector, self._at(address, _words), align=64)

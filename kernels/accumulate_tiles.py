"""Accumulate level codes on AMX-INT8: dot products of one tile, pixels x lane blocks, by tiles of 16 x 64 bytes.

    dots[b, p, lane] = start[b, lane] + sum_t  weights[b, t, lane] . image[p, t]                      int32, exact

where t goes over the window's words and "." is the dot product of a word's four channels, unsigned activation bytes
with signed weight bytes. Words of weights lie as a tile wants them: row t, LANES words. Activations don't: pixels are
at any distance. So _STEPS tiles' worth of words of all pixels is first copied to rows of a panel, the words past a
run's end zero; the weights that these meet are of the next run, or of the slack past the last.

Registers: 2 x 2 tiles of sums (halves of 16 pixels, blocks), tiles 0 to 3, activations in 4 and 5, weights in 6 and 7.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from paconv.kernels.arguments import LANES
from paconv.kernels.levels import Multiplier
from paconv.kernels.tiles import ROW_BYTES, SoftTiles, Tiles, on_stack
from paconv.kernels.tiling import TILE_ROWS as ROWS

__all__ = ["emit_accumulate_tiles"]

_STEPS = 8
_PANEL_ROW = _STEPS * ROW_BYTES
_PANEL_BYTES = 2 * ROWS * _PANEL_ROW
_SUMS_BYTES = ROWS * ROW_BYTES
_WORDS = ROW_BYTES // 4

_i32, _i64 = ir.IntType(32), ir.IntType(64)
_words = ir.VectorType(_i32, LANES)


def emit_accumulate_tiles(builder, multiplier: Multiplier, pixels, blocks, *rest, soft: bool = False) -> None:
    """The body of accumulate(pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes,
    start, dots); arguments as in emit_accumulate_codes, with ROWS rows of slack behind the weights. soft: with tiles in
    memory, for tests.
    """
    tiles = (SoftTiles if soft else Tiles)(builder)
    tiles.begin()
    panel, sums = on_stack(builder, _PANEL_BYTES), on_stack(builder, _SUMS_BYTES)
    one = builder.icmp_signed("==", blocks, ir.Constant(_i64, 1))
    with builder.if_else(one) as (then, otherwise):
        with then:
            _Program(builder, tiles, 1, multiplier.pixels).emit(*rest, panel, sums)
        with otherwise:
            _Program(builder, tiles, multiplier.blocks, multiplier.pixels).emit(*rest, panel, sums)
    tiles.end()


class _Program:
    """The program for `blocks` lane blocks."""

    def __init__(self, builder, tiles, blocks: int, pixels: int):
        self._builder, self._tiles, self._blocks, self._pixels = builder, tiles, blocks, pixels

    def emit(
        self, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes, start, dots, panel, sums
    ) -> None:
        builder = self._builder
        for tile in range(4):
            self._tiles.zero(tile)
        run_weights = builder.mul(run, self._const(ROW_BYTES))
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
                self._fill_panel(self._plus(first, word, 4), pixel_offsets, count, panel)
                self._multiply(self._plus(tap_weights, word, ROW_BYTES), block_bytes, count, panel)
        self._store(start, dots, sums)

    def _fill_panel(self, first, pixel_offsets, count, panel) -> None:
        """Row p holds the pixel's next `count` words, then zeros to a whole tile's row."""
        builder = self._builder
        whole = builder.lshr(count, self._const(4))
        rest = builder.and_(count, self._const(_WORDS - 1))
        with cgutils.for_range(builder, self._const(self._pixels), intp=_i64) as pixel:
            offset = builder.load(self._at(self._plus(pixel_offsets, pixel.index, 8), _i64), align=8)
            source, target = builder.add(first, offset), self._plus(panel, pixel.index, _PANEL_ROW)
            with cgutils.for_range(builder, whole, intp=_i64) as step:
                row = self._load(self._plus(source, step.index, ROW_BYTES), align=4)
                self._store_row(row, self._plus(target, step.index, ROW_BYTES))
            with builder.if_then(builder.icmp_signed(">", rest, self._const(0))):
                source, target = (self._plus(at, whole, ROW_BYTES) for at in (source, target))
                self._store_row(ir.Constant(_words, [0] * LANES), target)
                with cgutils.for_range(builder, rest, intp=_i64) as word:
                    value = builder.load(self._at(self._plus(source, word.index, 4), _i32), align=4)
                    builder.store(value, self._at(self._plus(target, word.index, 4), _i32), align=4)

    def _multiply(self, weights, block_bytes, count, panel) -> None:
        builder, tiles = self._builder, self._tiles
        steps = builder.lshr(builder.add(count, self._const(_WORDS - 1)), self._const(4))
        with cgutils.for_range(builder, steps, intp=_i64) as step:
            a = self._plus(panel, step.index, ROW_BYTES)
            w = self._plus(weights, step.index, ROWS * ROW_BYTES)
            for half in range(2):
                tiles.load(4 + half, builder.add(a, self._const(half * ROWS * _PANEL_ROW)), self._const(_PANEL_ROW))
            for b in range(self._blocks):
                tiles.load(6 + b, w, self._const(ROW_BYTES))
                for half in range(2):
                    tiles.dot(2 * half + b, 4 + half, 6 + b)
                w = builder.add(w, block_bytes)

    def _store(self, start, dots, sums) -> None:
        """dots[b, 16*half + row] from tile 2*half + b."""
        builder = self._builder
        for half in range(2):
            for b in range(self._blocks):
                self._tiles.store(2 * half + b, sums, self._const(ROW_BYTES))
                base = self._load(builder.add(start, self._const(b * ROW_BYTES)), align=64)
                first = builder.add(dots, self._const((b * self._pixels + ROWS * half) * ROW_BYTES))
                with cgutils.for_range(builder, self._const(ROWS), intp=_i64) as row:
                    total = builder.add(self._load(self._plus(sums, row.index, ROW_BYTES), align=64), base)
                    self._store_row(total, self._plus(first, row.index, ROW_BYTES))

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

"""Accumulate level codes on AMX-INT8: dot products of pixels x lane blocks, by tiles of 16 x 64 bytes.

    dots[b, p, lane] = start[b, lane] + sum_t  weights[b, t, lane] . image[p, t]                      int32, exact

where t goes over the window's words and "." is the dot product of a word's four channels, unsigned activation bytes
with signed weight bytes. Words of weights lie as a tile wants them: row t, LANES words. So do activations where 16
pixels are at one distance: a tile's rows begin at the pixels, and overlap where a run is shorter than a row. What a row
holds behind the run's end meets weights of zero.

Registers: 2 x 2 tiles of sums (halves of 16 pixels, blocks), tiles 0 to 3, activations in 4 and 5, weights in 6 and 7.
"""

from __future__ import annotations

from itertools import product

from paconv.kernels.blocking import TILE_ROWS as ROWS
from paconv.kernels.cpus import Multiplier
from paconv.kernels.emit.amx import ROW_BYTES, TILES
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.vectors import const, element, plus

__all__ = ["emit"]

_HALVES = 2
_WORDS = ROW_BYTES // 4
_TILE_BYTES = ROWS * ROW_BYTES


def emit(builder, multiplier: Multiplier, pixels, blocks, *rest) -> None:
    """The body of accumulate(pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes,
    start, dots); arguments as in codes/accumulate.py, with the weights of a run filled up to whole steps of _WORDS,
    and pixel_offsets of each 16 pixels at one distance.
    """
    tiles = TILES[multiplier.product](builder)
    tiles.begin()
    few_blocks = builder.icmp_signed("==", blocks, const(1))
    few_pixels = builder.icmp_signed("<=", pixels, const(ROWS))
    for b, halves in product((1, multiplier.blocks), (1, _HALVES)):
        this_many_blocks = few_blocks if b == 1 else builder.not_(few_blocks)
        this_many_pixels = few_pixels if halves == 1 else builder.not_(few_pixels)
        with builder.if_then(builder.and_(this_many_blocks, this_many_pixels)):
            _Program(builder, tiles, b, halves, multiplier.pixels).emit(*rest)
    tiles.end()


class _Program:
    """The program for `blocks` lane blocks and `halves` of its pixels."""

    def __init__(self, builder, tiles, blocks: int, halves: int, pixels: int):
        self._builder, self._tiles, self._blocks, self._halves, self._pixels = builder, tiles, blocks, halves, pixels

    def emit(self, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes, start, dots) -> None:
        builder, tiles = self._builder, self._tiles
        sums = [(half, b) for half in range(self._halves) for b in range(self._blocks)]
        for half, b in sums:
            tiles.load(_HALVES * half + b, plus(builder, start, b, ROW_BYTES), const(0))
        pixel = [element(builder, pixel_offsets, p) for p in (0, 1, ROWS)[: 1 + self._halves]]
        step = builder.sub(pixel[1], pixel[0])
        firsts = [builder.add(image, offset) for offset in pixel[::2]]
        steps = builder.udiv(builder.add(run, const(_WORDS - 1)), const(_WORDS))
        with turns(builder, taps) as tap:
            offset = element(builder, tap_offsets, tap.index)
            rows = [builder.add(first, offset) for first in firsts]
            tap_weights = plus(builder, weights, builder.mul(tap.index, steps), _TILE_BYTES)
            with turns(builder, steps) as at:
                for half, row in enumerate(rows):
                    tiles.load(4 + half, plus(builder, row, at.index, ROW_BYTES), step)
                w = plus(builder, tap_weights, at.index, _TILE_BYTES)
                for b in range(self._blocks):
                    tiles.load(6 + b, w, const(ROW_BYTES))
                    for half in range(self._halves):
                        tiles.dot(_HALVES * half + b, 4 + half, 6 + b)
                    w = builder.add(w, block_bytes)
        for half, b in sums:
            target = plus(builder, dots, b * self._pixels + ROWS * half, ROW_BYTES)
            tiles.store(_HALVES * half + b, target, const(ROW_BYTES))

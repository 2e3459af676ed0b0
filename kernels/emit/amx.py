"""Tiles of AMX-INT8 as LLVM instructions, and the same tiles in plain memory.

A tile is 16 rows of 64 bytes. `Tiles` emits the CPU's instructions; `SoftTiles` does the same with loops over memory,
so that a program of tiles can be tested on any CPU. A program begins with `begin` and ends with `end`; tiles are
numbered 0 to 7. `dot` adds to c[m, n] (int32) the products of the 64 unsigned bytes of row m of `a` with the signed
bytes of column n of `b`, where byte k of a row of `a` meets byte k % 4 of word n in row k / 4 of `b`.
"""

from __future__ import annotations

from llvmlite import ir

from paconv.kernels.blocking import TILE_ROWS as ROWS
from paconv.kernels.emit.intrinsics import call_instruction
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.vectors import const, element, i8, i32, load, on_stack, plus, store

__all__ = ["ROW_BYTES", "TILES", "SoftTiles", "Tiles"]

ROW_BYTES, _COUNT = 64, 8

_CONFIG_BYTES = 64


class Tiles:
    """The CPU's tiles. What runs must have the operating system's permission (kernels/native/platform.h)."""

    def __init__(self, builder):
        self._builder = builder

    def _call(self, name: str, *arguments) -> None:
        call_instruction(self._builder, ir.VoidType(), f"x86.{name}", *arguments)

    def _at(self, address):
        return self._builder.inttoptr(address, i8.as_pointer())

    def begin(self) -> None:
        config = on_stack(self._builder, _CONFIG_BYTES)
        text = bytes([1, *[0] * 15, *([ROW_BYTES, 0] * _COUNT), *[0] * 16, *[ROWS] * _COUNT, *[0] * 8])
        store(self._builder, ir.Constant(ir.ArrayType(i8, _CONFIG_BYTES), bytearray(text)), config, align=64)
        self._call("ldtilecfg", self._at(config))

    def end(self) -> None:
        self._call("tilerelease")

    def load(self, tile: int, address, stride) -> None:
        self._call("tileloadd64", const(tile, i8), self._at(address), stride)

    def dot(self, c: int, a: int, b: int) -> None:
        self._call("tdpbusd", *(const(tile, i8) for tile in (c, a, b)))

    def store(self, tile: int, address, stride) -> None:
        self._call("tilestored64", const(tile, i8), self._at(address), stride)


class SoftTiles:
    """Tiles in memory."""

    def __init__(self, builder):
        self._builder = builder

    def _row(self, tile: int, row):
        return plus(self._builder, plus(self._builder, self._memory, tile, ROWS * ROW_BYTES), row, ROW_BYTES)

    def _copy(self, source, target) -> None:
        builder = self._builder
        with turns(builder, const(ROW_BYTES // 4)) as word:
            store(builder, element(builder, source, word.index, i32), plus(builder, target, word.index, 4))

    def begin(self) -> None:
        self._memory = on_stack(self._builder, _COUNT * ROWS * ROW_BYTES)

    def end(self) -> None:
        """Nothing to give back."""

    def load(self, tile: int, address, stride) -> None:
        with turns(self._builder, const(ROWS)) as row:
            source = self._builder.add(address, self._builder.mul(row.index, stride))
            self._copy(source, self._row(tile, row.index))

    def dot(self, c: int, a: int, b: int) -> None:
        builder = self._builder
        rows, bytes_ = const(ROWS), const(ROW_BYTES)
        with turns(builder, rows) as m, turns(builder, rows) as n, turns(builder, bytes_) as k:
            row, byte = builder.lshr(k.index, const(2)), builder.and_(k.index, const(3))
            left = element(builder, self._row(a, m.index), k.index, i8)
            right = element(builder, plus(builder, self._row(b, row), n.index, 4), byte, i8)
            product = builder.mul(builder.zext(left, i32), builder.sext(right, i32))
            total = plus(builder, self._row(c, m.index), n.index, 4)
            store(builder, builder.add(load(builder, total, i32), product), total)

    def store(self, tile: int, address, stride) -> None:
        with turns(self._builder, const(ROWS)) as row:
            target = self._builder.add(address, self._builder.mul(row.index, stride))
            self._copy(self._row(tile, row.index), target)


TILES = {kind.__name__: kind for kind in (Tiles, SoftTiles)}

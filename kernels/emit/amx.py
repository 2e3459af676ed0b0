"""Tiles of AMX-INT8 as LLVM instructions, and the same tiles in plain memory.

A tile is 16 rows of 64 bytes. `Tiles` emits the CPU's instructions; `SoftTiles` does the same with loops over memory,
so that a program of tiles can be tested on any CPU. A program begins with `begin` and ends with `end`; tiles are
numbered 0 to 7. `dot` adds to c[m, n] (int32) the products of the 64 unsigned bytes of row m of `a` with the signed
bytes of column n of `b`, where byte k of a row of `a` meets byte k % 4 of word n in row k / 4 of `b`.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from paconv.kernels.blocking import TILE_ROWS as ROWS
from paconv.kernels.emit.intrinsics import call_instruction

__all__ = ["ROW_BYTES", "TILES", "SoftTiles", "Tiles"]

ROW_BYTES, TILES = 64, 8

_void, _i8, _i32, _i64 = ir.VoidType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_pointer = _i8.as_pointer()
_CONFIG_BYTES = 64


def _on_stack(builder, size: int):
    """Address (i64) of `size` bytes on the stack, 64-byte aligned."""
    with builder.goto_entry_block():
        memory = builder.alloca(ir.ArrayType(_i8, size))
        memory.align = 64
    return builder.ptrtoint(memory, _i64)


class Tiles:
    """The CPU's tiles. What runs must have the operating system's permission (kernels/native/platform.h)."""

    def __init__(self, builder):
        self._builder = builder

    def _call(self, name: str, *arguments) -> None:
        call_instruction(self._builder, _void, f"x86.{name}", *arguments)

    def _at(self, address):
        return self._builder.inttoptr(address, _pointer)

    def begin(self) -> None:
        builder, config = self._builder, _on_stack(self._builder, _CONFIG_BYTES)
        text = bytes([1, *[0] * 15, *([ROW_BYTES, 0] * TILES), *[0] * 16, *[ROWS] * TILES, *[0] * 8])
        kind = ir.ArrayType(_i8, _CONFIG_BYTES)
        builder.store(ir.Constant(kind, bytearray(text)), builder.inttoptr(config, kind.as_pointer()), align=64)
        self._call("ldtilecfg", self._at(config))

    def end(self) -> None:
        self._call("tilerelease")

    def load(self, tile: int, address, stride) -> None:
        self._call("tileloadd64", ir.Constant(_i8, tile), self._at(address), stride)

    def dot(self, c: int, a: int, b: int) -> None:
        self._call("tdpbusd", *(ir.Constant(_i8, tile) for tile in (c, a, b)))

    def store(self, tile: int, address, stride) -> None:
        self._call("tilestored64", ir.Constant(_i8, tile), self._at(address), stride)


class SoftTiles:
    """Tiles in memory."""

    def __init__(self, builder):
        self._builder = builder

    def _word(self, address, kind=_i32):
        return self._builder.inttoptr(address, kind.as_pointer())

    def _tile(self, tile: int, row=None):
        address = self._builder.add(self._memory, ir.Constant(_i64, tile * ROWS * ROW_BYTES))
        return address if row is None else self._plus(address, row, ROW_BYTES)

    def _plus(self, address, index, size: int):
        return self._builder.add(address, self._builder.mul(index, ir.Constant(_i64, size)))

    def _for(self, count: int):
        return cgutils.for_range(self._builder, ir.Constant(_i64, count), intp=_i64)

    def _copy(self, source, target) -> None:
        builder = self._builder
        with self._for(ROW_BYTES // 4) as word:
            value = builder.load(self._word(self._plus(source, word.index, 4)), align=4)
            builder.store(value, self._word(self._plus(target, word.index, 4)), align=4)

    def begin(self) -> None:
        self._memory = _on_stack(self._builder, TILES * ROWS * ROW_BYTES)

    def end(self) -> None:
        """Nothing to give back."""

    def load(self, tile: int, address, stride) -> None:
        with self._for(ROWS) as row:
            source = self._builder.add(address, self._builder.mul(row.index, stride))
            self._copy(source, self._tile(tile, row.index))

    def dot(self, c: int, a: int, b: int) -> None:
        builder = self._builder
        with self._for(ROWS) as m, self._for(ROWS) as n, self._for(ROW_BYTES) as k:
            row = builder.lshr(k.index, ir.Constant(_i64, 2))
            byte = builder.and_(k.index, ir.Constant(_i64, 3))
            left = builder.load(self._word(builder.add(self._tile(a, m.index), k.index), _i8), align=1)
            at = builder.add(self._plus(self._tile(b, row), n.index, 4), byte)
            right = builder.load(self._word(at, _i8), align=1)
            product = builder.mul(builder.zext(left, _i32), builder.sext(right, _i32))
            total = self._word(self._plus(self._tile(c, m.index), n.index, 4))
            builder.store(builder.add(builder.load(total, align=4), product), total, align=4)

    def store(self, tile: int, address, stride) -> None:
        with self._for(ROWS) as row:
            target = self._builder.add(address, self._builder.mul(row.index, stride))
            self._copy(self._tile(tile, row.index), target)

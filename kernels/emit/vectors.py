"""Vectors as LLVM instructions: constants, addresses, loads and stores, which all kernels are written with.

Addresses are i64 and count bytes. Loads and stores are aligned as their type is large, unless `align` says otherwise.
"""

from __future__ import annotations

from llvmlite import ir

from paconv.kernels.arguments import LANES

__all__ = [
    "BYTES", "FLOATS", "VECTOR", "WORDS", "at", "broadcast", "const", "element", "f32", "i1", "i8", "i16", "i32", "i64",
    "indexes", "less", "load", "load_signed", "on_stack", "plus", "size_of", "store", "vector",
]  # fmt: skip

i1, i8, i16, i32, i64, f32 = *map(ir.IntType, (1, 8, 16, 32, 64)), ir.FloatType()
vector = ir.VectorType
BYTES, WORDS, FLOATS = (vector(kind, LANES) for kind in (i8, i32, f32))

VECTOR = 4 * LANES
"""Bytes of LANES words."""


def size_of(kind) -> int:
    """Bytes of a type."""
    if isinstance(kind, ir.VectorType):
        return kind.count * size_of(kind.element)
    return 4 if kind == f32 else kind.width // 8


def const(value, kind=i64) -> ir.Constant:
    """A number, or a vector of it."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def indexes(numbers) -> ir.Constant:
    """The lanes that a shuffle takes."""
    numbers = list(numbers)
    return ir.Constant(vector(i32, len(numbers)), numbers)


def plus(builder, address, index, size: int = 1):
    """address + index * size; `index` is a number or an i64."""
    return builder.add(address, const(index * size) if isinstance(index, int) else builder.mul(index, const(size)))


def at(builder, address, kind):
    """An address as a pointer to values of a type, which `load` and `store` take as well."""
    return address if isinstance(address.type, ir.PointerType) else builder.inttoptr(address, kind.as_pointer())


def load(builder, address, kind, align: int = 0):
    """The value at an address."""
    return builder.load(at(builder, address, kind), align=align or size_of(kind))


def load_signed(builder, address, count: int, negative) -> list:
    """`count` vectors of floats side by side, negated if `negative` is 1: that is turning their sign bits."""
    flip = broadcast(builder, builder.shl(builder.trunc(negative, i32), const(31, i32)), WORDS)
    places = (plus(builder, address, k, VECTOR) for k in range(count))
    return [builder.bitcast(builder.xor(load(builder, at, WORDS, align=4), flip), FLOATS) for at in places]


def store(builder, value, address, align: int = 0) -> None:
    """Write a value to an address."""
    builder.store(value, at(builder, address, value.type), align=align or size_of(value.type))


def element(builder, array, index, kind=i64):
    """array[index] of values side by side."""
    return load(builder, plus(builder, array, index, size_of(kind)), kind)


def broadcast(builder, scalar, kind):
    """A vector of a value in all its lanes."""
    undefined = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(undefined, scalar, const(0, i32))
    return builder.shuffle_vector(single, undefined, const(0, vector(i32, kind.count)))


def less(builder, left, right):
    """left < right, signed."""
    return builder.icmp_signed("<", left, right)


def on_stack(builder, size: int):
    """Address of `size` bytes on the function's stack, 64-byte aligned."""
    with builder.goto_entry_block():
        memory = builder.alloca(ir.ArrayType(i8, size))
        memory.align = 64
    return builder.ptrtoint(memory, i64)

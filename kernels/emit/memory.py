"""Numba's view of raw memory: addresses to arrays, and stack buffers. No allocation, no reference counts."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.emit.loops import repeat

__all__ = ["copy_bytes", "copy_words", "popcount", "pointer", "stack_buffer"]


@intrinsic
def pointer(typingctx, address):
    """int64 address -> voidptr, for numba.carray."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic(prefer_literal=True)
def stack_buffer(typingctx, size):
    """Address (int64) of `size` bytes on the kernel's stack, 64-byte aligned; `size` is a compile-time constant."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    count = size.literal_value

    def codegen(context, builder, signature, args):
        with builder.goto_entry_block():
            buffer = builder.alloca(ir.ArrayType(ir.IntType(8), count))
            buffer.align = 64
        return builder.ptrtoint(buffer, ir.IntType(64))

    return types.int64(size), codegen


@intrinsic
def copy_bytes(typingctx, target, source, size):
    """memcpy. All int64: two addresses and a number of bytes."""

    def codegen(context, builder, signature, args):
        target, source, size = args
        pointers = [builder.inttoptr(address, cgutils.voidptr_t) for address in (target, source)]
        cgutils.raw_memcpy(builder, *pointers, size, ir.Constant(ir.IntType(64), 1))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def copy_words(typingctx, target, target_step, source, source_step, count):
    """Copy count >= 1 words of 32 bits from address to address, each step (bytes) by step. All int64."""

    def codegen(context, builder, signature, args):
        target, target_step, source, source_step, count = args
        i32, i64 = ir.IntType(32), ir.IntType(64)

        def body(target, source, left):
            word = builder.load(builder.inttoptr(source, i32.as_pointer()), align=4)
            builder.store(word, builder.inttoptr(target, i32.as_pointer()), align=4)
            left = builder.sub(left, ir.Constant(i64, 1))
            again = builder.icmp_signed(">", left, ir.Constant(i64, 0))
            return [builder.add(target, target_step), builder.add(source, source_step), left], again

        repeat(builder, [target, source, count], body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def popcount(typingctx, word):
    """Set bits of a uint32, as int64."""

    def codegen(context, builder, signature, args):
        return builder.zext(builder.ctpop(args[0]), ir.IntType(64))

    return types.int64(types.uint32), codegen

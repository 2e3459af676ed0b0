"""Numba's view of raw memory: addresses to arrays, and stack buffers. No allocation, no reference counts."""

from __future__ import annotations

from functools import partial

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.loops import repeat
from paconv.kernels.emit.vectors import const, i32, i64, load, on_stack, store

__all__ = ["clear_bytes", "copy_bytes", "copy_words", "popcount", "pointer", "stack_buffer"]


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
        return on_stack(builder, count)

    return types.int64(size), codegen


@emitted
def clear_bytes(builder, target, size):
    """Zero a number of bytes at an address."""
    cgutils.memset(builder, builder.inttoptr(target, cgutils.voidptr_t), size, 0)


@emitted
def copy_bytes(builder, target, source, size):
    """memcpy: two addresses and a number of bytes."""
    pointers = [builder.inttoptr(address, cgutils.voidptr_t) for address in (target, source)]
    cgutils.raw_memcpy(builder, *pointers, size, const(1))


@emitted
def copy_words(builder, target, target_step, source, source_step, count):
    """Copy count >= 1 words of 32 bits from address to address, each step (bytes) by step."""

    def body(target, source, left):
        store(builder, load(builder, source, i32), target)
        left = builder.sub(left, const(1))
        again = builder.icmp_signed(">", left, const(0))
        return [builder.add(target, target_step), builder.add(source, source_step), left], again

    repeat(builder, [target, source, count], body)


@partial(emitted, result=types.int64)
def popcount(builder, word):
    """Set bits of a word of 32 bits."""
    return builder.zext(builder.ctpop(builder.trunc(word, i32)), i64)

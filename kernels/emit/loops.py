"""Loops of LLVM instructions, values carried from turn to turn in registers; and branches."""

from __future__ import annotations

from numba.core import cgutils

from paconv.kernels.emit.vectors import i64

__all__ = ["repeat", "turns", "when"]


def repeat(builder, initial: list, body) -> list:
    """A loop that runs at least once: body(*values) -> (next values, whether to go on). Returns the last values."""
    before, loop = builder.block, builder.function.append_basic_block("loop")
    builder.branch(loop)
    builder.position_at_end(loop)
    nodes = [builder.phi(value.type) for value in initial]
    values, again = body(*nodes)
    for node, first, following in zip(nodes, initial, values, strict=True):
        node.add_incoming(first, before)
        node.add_incoming(following, builder.block)
    done = builder.function.append_basic_block("loop.end")
    builder.cbranch(again, loop, done)
    builder.position_at_end(done)
    return values


def turns(builder, count):
    """`with turns(builder, count) as turn:` a loop over turn.index = 0..count-1, i64."""
    return cgutils.for_range(builder, count, intp=i64)


def when(builder, condition, values: list, body) -> list:
    """body(*values) -> values where the condition holds; else the values as they are."""
    before, then, end = builder.block, *(builder.function.append_basic_block(name) for name in ("then", "then.end"))
    builder.cbranch(condition, then, end)
    builder.position_at_end(then)
    changed = body(*values)
    after = builder.block
    builder.branch(end)
    builder.position_at_end(end)
    nodes = [builder.phi(value.type) for value in values]
    for node, value, new in zip(nodes, values, changed, strict=True):
        node.add_incoming(value, before)
        node.add_incoming(new, after)
    return nodes

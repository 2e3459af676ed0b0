"""The limit: AND, popcount and add, as fast as a CPU can, from operands that are always at hand.

    sums[k, lane] += popcount(weights[k, lane] & words[t mod RING])    t = 0..rounds-1

as accumulate counts on the CPU. Half of its accumulators are enough to keep the CPU busy, and leave registers for as
many weight vectors: nothing but the word is loaded. It changes from turn to turn, so that nothing can be taken out of
the loop.
"""

from __future__ import annotations

from llvmlite import ir

from paconv.kernels.arguments import LANES, LIMIT_RING
from paconv.kernels.blocking import limit_sums
from paconv.kernels.cpus import Cpu
from paconv.kernels.emit.loops import repeat
from paconv.kernels.emit.popcount import add_bits, broadcast, counter_type

__all__ = ["LIMIT_ARGUMENTS", "emit_limit"]

LIMIT_ARGUMENTS = 2
"""memory, rounds: int64."""

_VECTOR = 4 * LANES
_i32, _i64 = ir.IntType(32), ir.IntType(64)
_words = ir.VectorType(_i32, LANES)


def emit_limit(builder, cpu: Cpu, memory, rounds) -> None:
    """The body of limit(memory, rounds): memory holds words (LIMIT_RING,) uint32 and weights (K, LANES) uint32, then
    room for sums (K, LANES) int32, written; 64-byte aligned. K = limit_sums(cpu.budget); rounds >= 1: turns of the
    loop.
    """
    count, kind = limit_sums(cpu.budget), counter_type(cpu.counts_bytes)
    words = builder.inttoptr(memory, _i32.as_pointer())
    vectors = builder.bitcast(builder.gep(words, [ir.Constant(_i64, LIMIT_RING)]), _words.as_pointer())
    places = [builder.gep(vectors, [ir.Constant(_i64, k)]) for k in range(2 * count)]
    weights = [builder.load(place, align=_VECTOR) for place in places[:count]]

    def turn(left, *sums):
        left = builder.sub(left, ir.Constant(_i64, 1))
        place = builder.gep(words, [builder.and_(left, ir.Constant(_i64, LIMIT_RING - 1))])
        word = broadcast(builder, builder.load(place, align=4))
        sums = [add_bits(builder, s, builder.and_(w, word)) for w, s in zip(weights, sums, strict=True)]
        return [left, *sums], builder.icmp_unsigned("!=", left, ir.Constant(_i64, 0))

    _, *sums = repeat(builder, [rounds, *[ir.Constant(kind, [0] * kind.count)] * count], turn)
    for place, value in zip(places[count:], sums, strict=True):
        builder.store(builder.bitcast(value, _words), place, align=_VECTOR)

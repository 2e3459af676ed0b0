"""The peak of bit planes: AND, popcount and add, as fast as a CPU can, from operands that are always at hand.

    sums[k, lane] += popcount(weights[k, lane] & words[t mod RING])    t = 0..rounds-1

as accumulate counts on the CPU. Half of its accumulators are enough to keep the CPU busy, and leave registers for as
many weight vectors: nothing but the word is loaded. It changes from turn to turn, so that nothing can be taken out of
the loop.
"""

from __future__ import annotations

from paconv.kernels.arguments import PEAK_RING
from paconv.kernels.blocking import PopcountPeak
from paconv.kernels.emit.loops import repeat
from paconv.kernels.emit.popcount import add_bits, counter_type
from paconv.kernels.emit.vectors import WORDS, at, broadcast, const, i32, load, store

__all__ = ["emit"]


def emit(builder, plan: PopcountPeak, memory, rounds) -> None:
    """The body of popcount_peak(memory, rounds): memory holds words (PEAK_RING,) uint32 and weights (K, LANES) uint32,
    then room for sums (K, LANES) int32, written; 64-byte aligned. K = plan.sums; rounds >= 1: turns of the loop.
    """
    count, kind = plan.sums, counter_type(plan.in_bytes)
    words = at(builder, memory, i32)
    vectors = builder.bitcast(builder.gep(words, [const(PEAK_RING)]), WORDS.as_pointer())
    places = [builder.gep(vectors, [const(k)]) for k in range(2 * count)]
    weights = [load(builder, place, WORDS) for place in places[:count]]

    def turn(left, *sums):
        left = builder.sub(left, const(1))
        place = builder.gep(words, [builder.and_(left, const(PEAK_RING - 1))])
        word = broadcast(builder, load(builder, place, i32), WORDS)
        sums = [add_bits(builder, s, builder.and_(w, word)) for w, s in zip(weights, sums, strict=True)]
        return [left, *sums], builder.icmp_unsigned("!=", left, const(0))

    _, *sums = repeat(builder, [rounds, *[const(0, kind)] * count], turn)
    for place, value in zip(places[count:], sums, strict=True):
        store(builder, builder.bitcast(value, WORDS), place)

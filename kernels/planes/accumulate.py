"""Accumulate: counts of a few pixels, AND + popcount + add on vectors of LANES output channels.

    counts[p, i, j, lane] = sum over the window's words t of popcount(weights[t, i, lane] & image[p, t, j])

The microkernel is emitted as LLVM vector instructions: one weight vector holds word t of plane i for LANES output
channels, one activation word is broadcast to all lanes, and the counts stay in registers over the window's words.
kernels/emit/popcount.py says how bits are counted on a CPU: counts of words are int32 and stay to the end;
counts of bytes are added to `counts` before they can overflow.

There is one function for each (m, n) of a sub-block: m of the M weight planes and n of the N activation planes, as many
as the registers of the CPU hold (kernels/blocking.py). M and N are arguments, so that few functions serve all 64.
Each has a microkernel for each number of pixels up to its most. The convolution tasks call it by address.
"""

from __future__ import annotations

from paconv.kernels.blocking import SubBlock
from paconv.kernels.emit.inline import caller
from paconv.kernels.emit.popcount import MAX_BYTE_WORDS, add_bits, as_words, counter_type
from paconv.kernels.emit.vectors import VECTOR, WORDS, at, broadcast, const, element, i32, plus
from paconv.kernels.registry import FAMILIES
from paconv.kernels.window_sums import Windows, sum_windows

__all__ = ["call_accumulate", "emit"]

call_accumulate = caller(*FAMILIES["accumulate"].arguments)


def emit(builder, plan: SubBlock, pixels, *rest) -> None:
    """The body of accumulate(pixels, image, pixel_offsets, tap_offsets, taps, run, weights, counts, M, N).

    1 <= pixels <= plan.pixels; image: address of the activation words' first plane of n;
    pixel_offsets: (pixels,) int64 bytes; tap_offsets: (taps,) int64 bytes; run: words in a tap's run; weights:
    (taps*run, M, LANES) uint32 from the first plane of m on, 64-byte aligned; counts: (pixels, M, N, LANES) int32 from
    the first pair on, 64-byte aligned, written.
    """
    function = builder.function
    end = function.append_basic_block("end")
    counts = builder.switch(pixels, end)
    for count in range(1, plan.pixels + 1):
        here = function.append_basic_block(f"pixels.{count}")
        counts.add_case(const(count), here)
        builder.position_at_end(here)
        _pass(builder, plan, count, *rest)
        builder.branch(end)
    builder.position_at_end(end)


def _pass(
    builder, plan: SubBlock, pixels: int, image, pixel_offsets, tap_offsets, taps, run, weights, counts, M, N
) -> None:
    """A pass over the windows of `pixels`. Sums and targets go by pixels, then j, then i."""
    word, row = builder.mul(N, const(4)), builder.mul(N, const(VECTOR))
    pixel = builder.mul(M, row)
    starts = [builder.add(image, element(builder, pixel_offsets, p)) for p in range(pixels)]
    planes = [(j, i) for j in range(plan.n) for i in range(plan.m)]
    addresses = [
        builder.add(
            builder.add(counts, builder.mul(pixel, const(p))), plus(builder, builder.mul(row, const(i)), j, VECTOR)
        )
        for p in range(pixels)
        for j, i in planes
    ]
    targets = [at(builder, address, WORDS) for address in addresses]

    def add(weights, words, sums):
        w = [element(builder, weights, i, WORDS) for i in range(plan.m)]
        added, sums = [], iter(sums)
        for word in words:
            for j in range(plan.n):
                a = broadcast(builder, element(builder, word, j, i32), WORDS)
                added += [add_bits(builder, next(sums), builder.and_(each, a)) for each in w]
        return added

    run_bytes, weight_step = builder.mul(run, word), builder.mul(M, const(VECTOR))
    windows = Windows(builder, starts, tap_offsets, taps, run_bytes, word, weights, weight_step, add)
    zeros, most = [const(0, WORDS)] * len(targets), builder.mul(word, const(MAX_BYTE_WORDS))
    sum_windows(windows, zeros, targets, counter_type(plan.in_bytes), most, as_words)

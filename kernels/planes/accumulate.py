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
from paconv.kernels.emit.loops import repeat, when
from paconv.kernels.emit.popcount import MAX_BYTE_WORDS, add_bits, as_words, counter_type
from paconv.kernels.emit.vectors import VECTOR, WORDS, at, broadcast, const, element, i32, i64, less, load, plus, store
from paconv.kernels.registry import FAMILIES

__all__ = ["call_accumulate", "emit"]

call_accumulate = caller(*FAMILIES["accumulate"].arguments)


def emit(builder, plan: SubBlock, pixels, *rest) -> None:
    """The body of accumulate(pixels, image, pixel_offsets, tap_offsets, taps, run, weights, counts, M, N).

    1 <= pixels <= plan.pixels; image: address of the activation words' first plane of n;
    pixel_offsets: (pixels,) int64 bytes; tap_offsets: (taps,) int64 bytes; run: words in a tap's run; weights:
    (taps*run, M, LANES) uint32 from the first plane of m on, 64-byte aligned; counts: (pixels, M, N, LANES) int32 from
    the first pair on, 64-byte aligned, written.
    """
    kind, function = counter_type(plan.in_bytes), builder.function
    end = function.append_basic_block("end")
    counts = builder.switch(pixels, end)
    for count in range(1, plan.pixels + 1):
        here = function.append_basic_block(f"pixels.{count}")
        counts.add_case(const(count), here)
        builder.position_at_end(here)
        _Pass(builder, plan.m, plan.n, count, kind, *rest).emit()
        builder.branch(end)
    builder.position_at_end(end)


class _Pass:
    """A pass over the window: m weight planes, n activation planes, P pixels."""

    def __init__(
        self, builder, m: int, n: int, pixels: int, kind, image, pixel_offsets, tap_offsets, taps, run, weights, counts,
        M, N,
    ) -> None:  # fmt: skip
        self.builder, self.m, self.n, self.M, self.N, self.kind = builder, m, n, M, N, kind
        self.pixels, self.tap_offsets, self.taps, self.weights, self.counts = pixels, tap_offsets, taps, weights, counts
        self.word_bytes, self.weight_bytes = builder.mul(N, const(4)), builder.mul(M, const(VECTOR))
        self.run_bytes = builder.mul(run, self.word_bytes)
        self.starts = [builder.add(image, element(builder, pixel_offsets, p)) for p in range(pixels)]  # of windows

    def emit(self) -> None:
        if self.kind.element.width == 8:
            self.by_bytes()
        else:
            self.by_words()

    def by_words(self) -> None:
        """All the window in int32, stored at the end."""

        def tap_body(tap, at_weights, *sums):
            at_weights, sums = self.add_words(self.runs_of(tap), const(0), self.run_bytes, at_weights, sums)
            tap = self.builder.add(tap, const(1))
            return [tap, at_weights, *sums], less(self.builder, tap, self.taps)

        _, _, *sums = repeat(self.builder, [const(0), self.weights, *self.zeros()], tap_body)
        for target, value in zip(self.targets(), sums, strict=True):
            store(self.builder, value, target)

    def by_bytes(self) -> None:
        """Stretches of words within a tap, as many as bytes can count; then the bytes are added to the counts."""
        builder, full = self.builder, self.builder.mul(self.word_bytes, const(MAX_BYTE_WORDS))
        for target in self.targets():
            store(builder, const(0, WORDS), target)

        def empty(room, *sums):
            for target, value in zip(self.targets(), sums, strict=True):
                store(builder, builder.add(load(builder, target, WORDS), as_words(builder, value)), target)
            return [full, *self.zeros()]

        def stretch(tap, position, room, at_weights, *sums):
            most = builder.add(position, room)
            end = builder.select(less(builder, most, self.run_bytes), most, self.run_bytes)
            at_weights, sums = self.add_words(self.runs_of(tap), position, end, at_weights, sums)
            room = builder.sub(room, builder.sub(end, position))
            run_ends = builder.icmp_signed("==", end, self.run_bytes)
            tap = builder.add(tap, builder.zext(run_ends, i64))
            again = less(builder, tap, self.taps)
            is_full = builder.icmp_signed("==", room, const(0))
            room, *sums = when(builder, builder.or_(is_full, builder.not_(again)), [room, *sums], empty)
            return [tap, builder.select(run_ends, const(0), end), room, at_weights, *sums], again

        repeat(builder, [const(0), const(0), full, self.weights, *self.zeros()], stretch)

    def add_words(self, runs: list, position, end, at_weights, sums) -> tuple:
        """The words from `position` to `end` (bytes) of the runs; returns (next weights, sums)."""
        builder = self.builder

        def body(position, at_weights, *sums):
            w = [element(builder, at_weights, i, WORDS) for i in range(self.m)]
            added, sums = [], iter(sums)
            for run in runs:
                at = builder.add(run, position)
                for j in range(self.n):
                    a = broadcast(builder, element(builder, at, j, i32), WORDS)
                    added += [add_bits(builder, next(sums), builder.and_(w[i], a)) for i in range(self.m)]
            position = builder.add(position, self.word_bytes)
            return [position, builder.add(at_weights, self.weight_bytes), *added], less(builder, position, end)

        _, at_weights, *sums = repeat(builder, [position, at_weights, *sums], body)
        return at_weights, sums

    def runs_of(self, tap) -> list:
        """Where the tap's run begins in each pixel's window."""
        offset = element(self.builder, self.tap_offsets, tap)
        return [self.builder.add(start, offset) for start in self.starts]

    def targets(self) -> list:
        """Where the counts go, in the order of the sums: pixels, then j, then i."""
        builder = self.builder
        row = builder.mul(self.N, const(VECTOR))
        pixel = builder.mul(self.M, row)
        addresses = [
            builder.add(
                builder.add(self.counts, builder.mul(pixel, const(p))),
                plus(builder, builder.mul(row, const(i)), j, VECTOR),
            )
            for p in range(self.pixels)
            for j in range(self.n)
            for i in range(self.m)
        ]
        return [at(builder, address, WORDS) for address in addresses]

    def zeros(self) -> list:
        return [const(0, self.kind)] * (self.pixels * self.m * self.n)

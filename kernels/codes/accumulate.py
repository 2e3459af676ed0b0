"""Accumulate level codes: integer dot products of pixels x lane blocks, on vectors of LANES output channels.

    dots[b, p, lane] = start[b, lane] + sum_t  weights[b, t, lane] . image[p, t]                      int32, exact

where t goes over the window's words and "." is the dot product of the four channels that share a word. Each activation
word is broadcast once for all lane blocks, each weight vector loaded once for all its pixels.

Products of kernels/codes/dot_products.py with sums of 32 bits stay in registers over the whole window. Those of 16 bits
are added to `dots` after each span: a run's first `span` words, the next, and so on.
"""

from __future__ import annotations

from paconv.kernels.codes.dot_products import PRODUCTS
from paconv.kernels.cpus import Multiplier
from paconv.kernels.emit.inline import caller
from paconv.kernels.emit.loops import repeat
from paconv.kernels.emit.vectors import VECTOR, WORDS, at, broadcast, const, element, i32, less, load, plus, store
from paconv.kernels.registry import FAMILIES

__all__ = ["call_accumulate_codes", "emit", "pixel_sizes"]

call_accumulate_codes = caller(*FAMILIES["accumulate_codes"].arguments)


def pixel_sizes(most: int) -> tuple[int, ...]:
    """Numbers of pixels that there is a microkernel for, up to `most`: 1, or an even number; smallest first."""
    return tuple(range(2, most + 1, 2)) or (1,)


def emit(builder, multiplier: Multiplier, pixels, blocks, *rest) -> None:
    """The body of accumulate(pixels, blocks, image, pixel_offsets, tap_offsets, taps, run, span, weights, block_bytes,
    start, dots).

    1 <= pixels <= multiplier.pixels and 1 <= blocks <= multiplier.blocks: how much of a register block is wanted;
    pixel_offsets (multiplier.pixels,) int64 bytes, all of which must be readable places; image, tap_offsets, taps, run
    as in planes/accumulate.py; weights: (taps*run, LANES) uint32 of the first lane block, those of the next
    `block_bytes` further; start: (blocks, LANES) int32; dots: (multiplier.blocks, multiplier.pixels, LANES) int32,
    written. Vectors are 64-byte aligned.
    """
    product, function = PRODUCTS[multiplier.product], builder.function
    end = function.append_basic_block("end")
    for b in range(1, multiplier.blocks + 1):
        for p in pixel_sizes(multiplier.pixels):
            here, other = function.append_basic_block(f"sums{b}x{p}"), function.append_basic_block("other")
            wanted = builder.and_(
                builder.icmp_signed("<=", blocks, const(b)),
                builder.icmp_signed("<=", pixels, const(p)),
            )
            builder.cbranch(wanted, here, other)
            builder.position_at_end(here)
            _RegisterBlock(builder, b, p, multiplier.pixels, product, *rest).emit()
            builder.branch(end)
            builder.position_at_end(other)
    builder.branch(end)
    builder.position_at_end(end)


class _RegisterBlock:
    """One size of a register block. row: pixels between the lane blocks of `dots`."""

    def __init__(
        self, builder, blocks: int, pixels: int, row: int, product, image, pixel_offsets, tap_offsets, taps, run, span,
        weights, block_bytes, start, dots,
    ) -> None:  # fmt: skip
        self.builder, self.blocks, self.pixels, self.row, self.product = builder, blocks, pixels, row, product
        self.tap_offsets, self.taps, self.weights, self.block_bytes = tap_offsets, taps, weights, block_bytes
        self.start, self.dots = start, dots
        self.run_bytes, self.span_bytes = (builder.mul(words, const(4)) for words in (run, span))
        self.windows = [builder.add(image, element(builder, pixel_offsets, p)) for p in range(pixels)]

    def emit(self) -> None:
        if self.product.sums == WORDS:
            self.whole_window()
        else:
            self.by_spans()

    def whole_window(self) -> None:
        """All sums in phi nodes."""

        def tap_body(tap, at_weights, *sums):
            at_weights, sums = self.add_words(self.runs_of(tap), const(0), self.run_bytes, at_weights, sums)
            tap = self.builder.add(tap, const(1))
            return [tap, at_weights, *sums], less(self.builder, tap, self.taps)

        first = [self.starts(b) for b in range(self.blocks)]
        _, _, *sums = repeat(self.builder, [const(0), self.weights, *first * self.pixels], tap_body)
        for target, value in zip(self.targets(), sums, strict=True):
            store(self.builder, value, target)

    def by_spans(self) -> None:
        """A span's sums in phi nodes, then added to `dots`."""
        builder, targets = self.builder, self.targets()
        for p in range(self.pixels):
            for b in range(self.blocks):
                store(builder, self.starts(b), targets[p * self.blocks + b])
        zeros = [const(0, self.product.sums)] * len(targets)

        def tap_body(tap, at_weights):
            runs = self.runs_of(tap)

            def span_body(position, at_weights):
                most = builder.add(position, self.span_bytes)
                end = builder.select(less(builder, most, self.run_bytes), most, self.run_bytes)
                at_weights, sums = self.add_words(runs, position, end, at_weights, zeros)
                for target, value in zip(targets, sums, strict=True):
                    total = builder.add(load(builder, target, WORDS), self.product.words(builder, value))
                    store(builder, total, target)
                return [end, at_weights], less(builder, end, self.run_bytes)

            _, at_weights = repeat(builder, [const(0), at_weights], span_body)
            tap = builder.add(tap, const(1))
            return [tap, at_weights], less(builder, tap, self.taps)

        repeat(builder, [const(0), self.weights], tap_body)

    def add_words(self, runs: list, position, end, at_weights, sums) -> tuple:
        """The words from `position` to `end` (bytes) of the runs; returns (next weights, sums)."""
        builder, product = self.builder, self.product

        def body(position, at_weights, *sums):
            sums, w, at = list(sums), [], at_weights
            for _ in range(self.blocks):
                w.append(product.weights(builder, load(builder, at, WORDS)))
                at = builder.add(at, self.block_bytes)
            for p, run in enumerate(runs):
                word = load(builder, builder.add(run, position), i32)
                a = product.activations(builder, broadcast(builder, word, WORDS))
                for b in range(self.blocks):
                    at_sum = p * self.blocks + b
                    sums[at_sum] = product.add(builder, sums[at_sum], a, w[b])
            position = builder.add(position, const(4))
            return [position, builder.add(at_weights, const(VECTOR)), *sums], less(builder, position, end)

        _, at_weights, *sums = repeat(builder, [position, at_weights, *sums], body)
        return at_weights, sums

    def runs_of(self, tap) -> list:
        """Where the tap's run begins in each pixel's window."""
        offset = element(self.builder, self.tap_offsets, tap)
        return [self.builder.add(window, offset) for window in self.windows]

    def starts(self, block: int):
        return element(self.builder, self.start, block, WORDS)

    def targets(self) -> list:
        """Where the dots go, in the order of the sums: pixels, then blocks."""
        slots = [b * self.row + p for p in range(self.pixels) for b in range(self.blocks)]
        addresses = [plus(self.builder, self.dots, slot, VECTOR) for slot in slots]
        return [at(self.builder, address, WORDS) for address in addresses]

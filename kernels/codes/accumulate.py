"""Accumulate level codes: integer dot products of pixels x lane blocks, on vectors of LANES output channels.

    dots[b, p, lane] = start[b, lane] + sum_t  weights[b, t, lane] . image[p, t]                      int32, exact

where t goes over the window's words and "." is the dot product of the four channels that share a word. Each activation
word is broadcast once for all lane blocks, each weight vector loaded once for all its pixels.

Products of kernels/codes/dot_products.py with sums of 32 bits stay in registers over the whole window. Those of 16 bits
are added to `dots` after each span: the window's first `span` words, the next, and so on.
"""

from __future__ import annotations

from paconv.kernels.codes.dot_products import PRODUCTS
from paconv.kernels.cpus import Multiplier
from paconv.kernels.emit.inline import caller
from paconv.kernels.emit.vectors import VECTOR, WORDS, at, broadcast, const, element, i32, load, plus
from paconv.kernels.registry import FAMILIES
from paconv.kernels.window_sums import Windows, sum_windows

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
    function = builder.function
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
            _register_block(builder, multiplier, b, p, *rest)
            builder.branch(end)
            builder.position_at_end(other)
    builder.branch(end)
    builder.position_at_end(end)


def _register_block(
    builder, multiplier: Multiplier, blocks: int, pixels: int, image, pixel_offsets, tap_offsets, taps, run, span,
    weights, block_bytes, start, dots,
) -> None:  # fmt: skip
    """One size of a register block. Sums and targets go by pixels, then blocks."""
    product = PRODUCTS[multiplier.product]
    starts = [builder.add(image, element(builder, pixel_offsets, p)) for p in range(pixels)]
    slots = [b * multiplier.pixels + p for p in range(pixels) for b in range(blocks)]
    targets = [at(builder, plus(builder, dots, slot, VECTOR), WORDS) for slot in slots]
    first = [element(builder, start, b, WORDS) for b in range(blocks)] * pixels

    def add(weights, words, sums):
        places = [builder.add(weights, builder.mul(block_bytes, const(b))) for b in range(blocks)]
        w = [product.weights(builder, load(builder, place, WORDS)) for place in places]
        added, sums = [], iter(sums)
        for word in words:
            a = product.activations(builder, broadcast(builder, load(builder, word, i32), WORDS))
            added += [product.add(builder, next(sums), a, each) for each in w]
        return added

    run_bytes, span_bytes = (builder.mul(words, const(4)) for words in (run, span))
    windows = Windows(builder, starts, tap_offsets, taps, run_bytes, const(4), weights, const(VECTOR), add)
    sum_windows(windows, first, targets, product.sums, span_bytes, product.words)

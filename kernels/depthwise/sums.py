"""The sums of a depthwise window, of a few pixels side by side, for lane block after lane block.

    out[block, p, lane] = bias[block, lane] + sum_(kh,kw)  weights[block, kh, kw, lane] * x[p, kh, kw, block, lane]

float32: each product is rounded, then each sum, rows first; so every CPU gives the same bits. The pixels' sums stay in
registers, and share each weight vector.
"""

from __future__ import annotations

from numba.core import cgutils

from paconv.kernels.blocking import SubBlock
from paconv.kernels.emit.inline import caller
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.vectors import FLOATS, VECTOR, const, element, load, plus, store
from paconv.kernels.registry import FAMILIES

__all__ = ["call_depthwise_sums", "emit"]

call_depthwise_sums = caller(*FAMILIES["depthwise_sums"].arguments)


def emit(builder, plan: SubBlock, pixels, *rest) -> None:
    """The body of depthwise_sums, which takes addresses, and steps in bytes.

    pixels: any number. x: the first pixel's first position inside the image, float32 without alignment; the window may
    have no rows or columns there. weights: (columns, LANES) of the first row and lane block, and bias (blocks, LANES),
    64-byte aligned. out: (pixels, LANES) of the first block, without alignment.
    """
    size, done = 1 << plan.pixels.bit_length() - 1, const(0)  # pixels at a time, and done
    while size:
        parts = builder.sdiv(builder.sub(pixels, done), const(size))
        with turns(builder, parts) as part:
            _sum(builder, size, plus(builder, done, part.index, size), *rest)
        done = plus(builder, done, parts, size)
        size //= 2


def _sum(
    builder, size, first, blocks, x, pixel_step, rows, row_step, columns, column_step, weights, weight_row,
    weight_block, bias, out, out_block,
) -> None:  # fmt: skip
    """`size` pixels, from `first` on."""

    def step(address, by, index):
        return builder.add(address, builder.mul(by, index))

    windows = [step(x, pixel_step, builder.add(first, const(p))) for p in range(size)]
    with turns(builder, blocks) as block:
        sums = [cgutils.alloca_once_value(builder, element(builder, bias, block.index, FLOATS)) for _ in windows]
        with turns(builder, rows) as row, turns(builder, columns) as column:
            offset = plus(
                builder, step(builder.mul(row_step, row.index), column_step, column.index), block.index, VECTOR
            )
            w = element(
                builder, step(step(weights, weight_block, block.index), weight_row, row.index), column.index, FLOATS
            )
            for window, total in zip(windows, sums, strict=True):
                product = builder.fmul(w, load(builder, builder.add(window, offset), FLOATS, align=4))
                builder.store(builder.fadd(builder.load(total), product), total)
        to = plus(builder, step(out, out_block, block.index), first, VECTOR)
        for p, total in enumerate(sums):
            store(builder, builder.load(total), plus(builder, to, p, VECTOR), align=4)

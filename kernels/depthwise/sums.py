"""The sums of a depthwise window, for a run of pixels of one row and one lane block.

    out[p, lane] = bias[lane] + sum_(kh,kw)  weights[kh, kw, lane] * x[p, kh, kw, lane]

float32: each product is rounded, then each sum, rows first; so every CPU gives the same bits. Register blocks of as many
pixels as fit, then of half as many, down to single ones: each weight vector is loaded once for a block.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from paconv.kernels.blocking import PixelBlock
from paconv.kernels.emit.inline import caller
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.vectors import FLOATS, VECTOR, const, load, plus, store
from paconv.kernels.registry import FAMILIES

__all__ = ["call_depthwise_sums", "emit"]

call_depthwise_sums = caller(*FAMILIES["depthwise_sums"].arguments)


def emit(
    builder, plan: PixelBlock, pixels, x, pixel_step, rows, row_step, columns, column_step, weights, weight_row, bias, out
) -> None:
    """The body of depthwise_sums.

    x: the first pixel's first position inside the image, (LANES,) float32 without alignment; the next pixel's lies
    pixel_step bytes further, and the window's next row and column row_step and column_step. rows, columns: positions of
    the window, maybe none. weights: (rows, columns, LANES) float32, a row weight_row bytes after the one before, and
    bias (LANES,), 64-byte aligned. out: (pixels, LANES) float32 without alignment, written in this order.
    """
    size = plan.pixels
    while size:
        whole = builder.sdiv(pixels, const(size))
        with turns(builder, whole) as turn:
            p = builder.mul(turn.index, const(size))
            windows = [builder.add(x, builder.mul(builder.add(p, const(k)), pixel_step)) for k in range(size)]
            sums = [cgutils.alloca_once_value(builder, load(builder, bias, FLOATS)) for _ in windows]
            _add_window(builder, windows, sums, rows, row_step, columns, column_step, weights, weight_row)
            for k, total in enumerate(sums):
                place = plus(builder, plus(builder, out, p, VECTOR), k, VECTOR)
                store(builder, builder.load(total), place, align=4)
        done = builder.mul(whole, const(size))
        pixels = builder.sub(pixels, done)
        x, out = builder.add(x, builder.mul(done, pixel_step)), plus(builder, out, done, VECTOR)
        size //= 2


def _add_window(builder, windows: list, sums: list[ir.Value], rows, row_step, columns, column_step, weights, weight_row):
    with turns(builder, rows) as row:
        with turns(builder, columns) as column:
            offset = builder.add(builder.mul(row.index, row_step), builder.mul(column.index, column_step))
            w = load(builder, plus(builder, builder.add(weights, builder.mul(row.index, weight_row)), column.index, VECTOR), FLOATS)
            for window, total in zip(windows, sums, strict=True):
                product = builder.fmul(w, load(builder, builder.add(window, offset), FLOATS, align=4))
                builder.store(builder.fadd(builder.load(total), product), total)

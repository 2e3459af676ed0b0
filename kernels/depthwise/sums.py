"""The sums of a depthwise window, of a few pixels side by side, for lane block after lane block.

    out[block, p, lane] = bias[block, lane] + sum_(kh,kw)  weights[block, kh, kw, lane] * x[p, kh, kw, block, lane]

float32: each product is rounded, then each sum, rows first; so every CPU gives the same bits. The pixels' sums stay in
registers, and share each weight vector.
"""

from __future__ import annotations

from numba.core import cgutils

from paconv.kernels.blocking import PixelBlock
from paconv.kernels.emit.inline import caller
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.vectors import FLOATS, VECTOR, const, load, plus, store
from paconv.kernels.registry import FAMILIES

__all__ = ["call_depthwise_sums", "emit"]

call_depthwise_sums = caller(*FAMILIES["depthwise_sums"].arguments)


def emit(
    builder, plan: PixelBlock, pixels, blocks, x, pixel_step, rows, row_step, columns, column_step, weights, weight_row,
    weight_block, bias, out, out_block,
) -> None:  # fmt: skip
    """The body of depthwise_sums.

    pixels: a power of two, at most MAX_PIXELS. x: the first pixel's first position inside the image, float32
    without alignment; steps are in bytes: to the next pixel, and to the window's next row and column, of which there may
    be none. weights (LANES,) of a position, those of the next row and lane block `weight_row` and `weight_block` bytes
    further, and bias (blocks, LANES), 64-byte aligned. out: (pixels, LANES) float32 without alignment, a lane block
    `out_block` bytes further than the one before.
    """
    size, end = plan.pixels, builder.function.append_basic_block("end")
    while size:
        here, other = (builder.function.append_basic_block(f"{name}{size}") for name in ("pixels", "fewer_than"))
        builder.cbranch(builder.icmp_signed(">=", pixels, const(size)), here, other)
        builder.position_at_end(here)
        with turns(builder, builder.sdiv(pixels, const(size))) as part:
            p = builder.mul(part.index, const(size))
            place = builder.add(x, builder.mul(p, pixel_step)), plus(builder, out, p, VECTOR)
            steps = [builder.mul(pixel_step, const(k)) for k in range(size)]
            with turns(builder, blocks) as block:
                at = plus(builder, place[0], block.index, VECTOR)
                w_at = builder.add(weights, builder.mul(weight_block, block.index))
                start = load(builder, plus(builder, bias, block.index, VECTOR), FLOATS)
                sums = [cgutils.alloca_once_value(builder, start) for _ in steps]
                with turns(builder, rows) as row, turns(builder, columns) as column:
                    offset = builder.add(builder.mul(row_step, row.index), builder.mul(column_step, column.index))
                    w_row = builder.add(w_at, builder.mul(weight_row, row.index))
                    w = load(builder, plus(builder, w_row, column.index, VECTOR), FLOATS)
                    for step, total in zip(steps, sums, strict=True):
                        value = load(builder, builder.add(builder.add(at, step), offset), FLOATS, align=4)
                        builder.store(builder.fadd(builder.load(total), builder.fmul(w, value)), total)
                first = builder.add(place[1], builder.mul(out_block, block.index))
                for k, total in enumerate(sums):
                    store(builder, builder.load(total), plus(builder, first, k, VECTOR), align=4)
        builder.branch(end)
        builder.position_at_end(other)
        size //= 2
    builder.branch(end)
    builder.position_at_end(end)

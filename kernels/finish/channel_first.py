"""Store a lane block's pixels to Y (B, O, OH, OW)."""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import LANES, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.memory import pointer
from paconv.kernels.emit.transpose import load_rows, transposed
from paconv.kernels.emit.vectors import VECTOR, const, store

__all__ = ["store_channel_first"]

_inline = njit(inline="always", error_model="numpy")


@emitted
def _store_transposed(builder, out, y, stride):
    """y[lane * stride + p] = out[p, lane] for LANES pixels: out (LANES, LANES) float32, 64-byte aligned; stride in
    bytes.
    """
    for lane, row in enumerate(transposed(builder, load_rows(builder, out, const(VECTOR)))):
        store(builder, row, builder.add(y, builder.mul(stride, const(lane))), align=4)


@_inline
def store_channel_first(a, out_at, batch, group, b, first_pixel, count):
    """Store `count` pixels of lane block b to Y (B, O, OH, OW). out_at: (count, LANES) float32, 64-byte aligned."""
    lanes, pixels = min(LANES, a[F.OG] - b * LANES), a[F.OH] * a[F.OW]
    first_channel = batch * a[F.O] + group * a[F.OG] + b * LANES
    y_at = a[F.y] + (first_channel * pixels + first_pixel) * 4
    p = 0
    if lanes == LANES:
        while p + LANES <= count:
            _store_transposed(out_at + p * 4 * LANES, y_at + 4 * p, 4 * pixels)
            p += LANES
    out = carray(pointer(out_at), (count, LANES), np.float32)
    y = carray(pointer(y_at), (lanes * pixels,), np.float32)
    for lane in range(lanes):
        for q in range(p, count):
            y[lane * pixels + q] = out[q, lane]

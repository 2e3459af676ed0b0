"""Finish: from the counts of a pixel tile to outputs.

    S[o] = sum_ij k_i l_j * count[i, j]                                     PA: k_0 = l_0 = 0
           + k_0 * sum_j l_j |V_j|                                          where alpha_0 is not 0
           + sum over the window's taps inside the image of offset_taps[o, tap]        where beta_0 is not 0
    Y[o] = scale_o * S[o] + bias_o

in float32, scale_o with the units of k and l in it (kernels/codes/choose_codes.py). On the grid all terms of S are
integers, and so is S: exact where their magnitudes add up to less than MAX_EXACT_FLOAT, and then that of level codes.
Off the grid, where k and l are alpha and beta, the sum goes in one order: the first line (kernels/planes/scale.py) is
four partial sums over n = i*N + j, by n mod 4 (the other two lines, kernels/planes/offsets.py's, start the first),
added as (s0 + s1) + (s2 + s3); each product is rounded before it is added (no fused multiply-add). So Y is the same bit
for bit for any tile, thread count and CPU. Counts are below 2**24: exact as float32.

Error bound off the grid: with t terms, |Y - exact| <= gamma_{t+5} * (sum of the absolute terms, times scale) +
eps |bias|, gamma_k = k*eps/(1 - k*eps), eps = 2**-24: one rounding for phi, one for each product, at most t for the
additions, two for scale and bias.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from paconv.kernels.arguments import LANES, F
from paconv.kernels.emit.memory import pointer

__all__ = ["store_channel_first", "transpose"]

_inline = njit(inline="always", error_model="numpy")
_i32, _i64, _f32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_counts, _floats = ir.VectorType(_i32, LANES), ir.VectorType(_f32, LANES)


def _at(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def _store_transposed(typingctx, out, y, stride):
    """y[lane * stride + p] = out[p, lane] for LANES pixels: out (LANES, LANES) float32, 64-byte aligned; stride in
    bytes.
    """

    def codegen(context, builder, signature, args):
        out, y, stride = args
        rows = _load_rows(builder, out, ir.Constant(_i64, 4 * LANES), 4 * LANES)
        for lane, row in enumerate(_transposed(builder, rows)):
            target = builder.add(y, builder.mul(stride, ir.Constant(_i64, lane)))
            builder.store(row, _at(builder, target, _floats), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), codegen


@intrinsic
def transpose(typingctx, rows, stride, out):
    """out[k, p] = rows[p, k], words of 32 bits: LANES rows `stride` bytes apart, 64-byte aligned; out (LANES,
    LANES).
    """

    def codegen(context, builder, signature, args):
        rows, stride, out = args
        size = 4 * LANES
        for k, row in enumerate(_transposed(builder, _load_rows(builder, rows, stride, size))):
            builder.store(row, _at(builder, builder.add(out, ir.Constant(_i64, size * k)), _floats), align=size)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), codegen


def _load_rows(builder, rows, stride, align: int) -> list:
    addresses = [builder.add(rows, builder.mul(stride, ir.Constant(_i64, p))) for p in range(LANES)]
    return [builder.load(_at(builder, address, _floats), align=align) for address in addresses]


def _transposed(builder, rows: list) -> list:
    """Four rounds of shuffles; round s exchanges the off-diagonal blocks of s x s among blocks of 2s x 2s."""
    rows = list(rows)
    for s in (1, 2, 4, 8):
        upper = ir.Constant(_counts, [LANES + k - s if k & s else k for k in range(LANES)])
        lower = ir.Constant(_counts, [LANES + k if k & s else k + s for k in range(LANES)])
        for p in range(LANES):
            if not p & s:
                a, b = rows[p], rows[p | s]
                rows[p] = builder.shuffle_vector(a, b, upper)
                rows[p | s] = builder.shuffle_vector(a, b, lower)
    return rows


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

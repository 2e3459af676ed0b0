"""Finish: from the counts of a pixel tile to outputs.

    Y[o] = base_o + sum_ij phi[o, i, j] * count[i, j]                                  PA: alpha_0 = beta_0 = 0
           + offset_alpha_o * sum_j beta_j |V_j|                                       where alpha_0 is not 0
           + sum over the window's taps inside the image of offset_taps[o, tap]        where beta_0 is not 0

in float32, terms added in this order, each product rounded before it is added (no fused multiply-add), so that the
result is the same bit for bit for any tile, thread count and CPU. Counts are below 2**24: exact as float32.

Error bound: with t terms, |Y - exact| <= gamma_{t+3} * sum of the absolute terms, gamma_k = k*eps/(1 - k*eps),
eps = 2**-24: one rounding for phi, one for each product, t for the additions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from paconv.kernels.arguments import LANES
from paconv.kernels.memory import popcount

__all__ = ["add_activation_offset", "add_weighted_counts", "add_window_offset", "start_from_base"]

_inline = njit(inline="always", error_model="numpy")


@_inline
def start_from_base(out, base):
    """out, base: (LANES,) float32."""
    for lane in range(LANES):
        out[lane] = base[lane]


@_inline
def add_weighted_counts(out, counts, phi, pairs):
    """out: (LANES,) float32; counts: (pairs, LANES) int32; phi: (pairs, LANES) float32."""
    for k in range(pairs):
        for lane in range(LANES):
            out[lane] += phi[k, lane] * np.float32(counts[k, lane])


@_inline
def add_activation_offset(out, offset_alpha, words, start, tap_offsets, taps, run, beta, N):
    """alpha_0 * sum_j beta_j |V_j|: `words` is the image as (n,) uint32, `start` the window's first word."""
    total = np.float32(0)
    for j in range(N):
        bits = np.int64(0)
        for tap in range(taps):
            first = start + tap_offsets[tap] // 4
            for t in range(run):
                bits += popcount(words[first + t * N + j])
        total += beta[j + 1] * np.float32(bits)
    for lane in range(LANES):
        out[lane] += offset_alpha[lane] * total


@_inline
def add_window_offset(out, offset_taps, top, left, H, W, KH, KW, DH, DW):
    """beta_0 * (weights inside the image): offset_taps (KH*KW, LANES); (top, left) of the window in the image."""
    for kh in range(KH):
        if 0 <= top + kh * DH < H:
            for kw in range(KW):
                if 0 <= left + kw * DW < W:
                    for lane in range(LANES):
                        out[lane] += offset_taps[kh * KW + kw, lane]

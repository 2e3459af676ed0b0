"""Prepare the weights, once per node: packed codes to weight words, coefficients to lanes.

    words[g, b, (kh*KW + kw)*CW + cw, i, lane] bit c  =  T_i[o, 32*cw + c, kh, kw],  o = g*OG + b*LANES + lane
    words[g, b, kh*CW + t, i, lane] bit r  =  T_i[o, c, kh, kw],  kw*CG + c = 32*t + r      by rows (window_rows.py)
    phi[o, i, j]        = k_i * l_j
    offset_alpha[o]     = k_0
    offset_taps[o, tap] = l_0 * ( sum_i k_i |T_i[o, :, tap]| + k_0 * CG )

with k and l of kernels/codes/choose_codes.py (alpha and beta themselves off the grid), each in float64, narrowed once
to float32: on the grid they are integers, exactly. Lanes past the last output channel stay zero. A code without a mask
is reported in the error slot; its weight counts as code 0.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.bits import WORD_BITS
from paconv.kernels.arguments import LANES, F
from paconv.kernels.emit.memory import pointer, popcount, stack_buffer
from paconv.kernels.unpack import UNPACKED, unpack

__all__ = ["prepare_weights"]


@njit(inline="always", error_model="numpy")
def _layout(a):
    """(bits from one window position to the next within a row, words of a row)."""
    return (a[F.CG], a[F.CW]) if a[F.by_rows] else (a[F.CW] * WORD_BITS, a[F.KW] * a[F.CW])


@njit(error_model="numpy")
def _ones(arguments, block, lane, plane, tap):
    """Weights of a lane that set the plane at a window position."""
    a = carray(arguments, (F.count,), np.int64)
    words = carray(pointer(a[F.weight_words]), (a[F.G] * a[F.OB], a[F.taps] * a[F.run], a[F.M], LANES), np.uint32)
    step, row_words = _layout(a)
    bit = tap % a[F.KW] * step
    end, ones = bit + a[F.CG], np.int64(0)
    while bit < end:
        shift, count = bit % WORD_BITS, min(WORD_BITS - bit % WORD_BITS, end - bit)
        mask = np.uint32(((np.int64(1) << count) - 1) << shift)
        ones += popcount(words[block, tap // a[F.KW] * row_words + bit // WORD_BITS, plane, lane] & mask)
        bit += count
    return ones


@njit(error_model="numpy")
def _set_bits(arguments, block, lane, o):
    """Set the bits of output channel o in its lane's words."""
    a = carray(arguments, (F.count,), np.int64)
    M, CG, KW, taps = a[F.M], a[F.CG], a[F.KW], a[F.KH] * a[F.KW]
    step, row_words = _layout(a)
    masks = carray(pointer(a[F.weight_masks]), (a[F.weight_codes],), np.uint8)
    words = carray(pointer(a[F.weight_words]), (a[F.G] * a[F.OB], a[F.taps] * a[F.run], M, LANES), np.uint32)
    unpacked = stack_buffer(UNPACKED)
    code_of = carray(pointer(unpacked), (UNPACKED,), np.uint8)
    first, window, done = o * CG * taps, CG * taps, 0
    tap, c = 0, 0
    while done < window:
        skip, count = unpack(a, first + done, window - done, unpacked)
        for k in range(skip, skip + count):
            mask = np.int64(masks[code_of[k]])
            bit = tap % KW * step + c
            word, shift = tap // KW * row_words + bit // WORD_BITS, bit % WORD_BITS
            for i in range(M):
                words[block, word, i, lane] |= np.uint32(((mask >> i) & 1) << shift)
            tap += 1
            if tap == taps:
                tap, c = 0, c + 1
        done += count


def prepare_weights(arguments, task):
    """Task g*OB + b prepares lane block b of group g. Expects weight_words, phi, ... zeroed."""
    a = carray(arguments, (F.count,), np.int64)
    M, N, CG, KH, KW = a[F.M], a[F.N], a[F.CG], a[F.KH], a[F.KW]
    block = np.int64(task)
    group, first_lane = block // a[F.OB], (block % a[F.OB]) * LANES
    first = group * a[F.OG] + first_lane
    lanes = min(LANES, a[F.OG] - first_lane)

    k = carray(pointer(a[F.alpha_k]), (a[F.alpha_rows], M + 1), np.float32)
    l = carray(pointer(a[F.beta_l]), (N + 1,), np.float32)
    blocks = a[F.G] * a[F.OB]
    phi = carray(pointer(a[F.phi]), (blocks, M, N, LANES), np.float32)
    offset_alpha = carray(pointer(a[F.offset_alpha]), (blocks, LANES), np.float32)
    offset_taps = carray(pointer(a[F.offset_taps]), (blocks, KH * KW, LANES), np.float32)

    for lane in range(lanes):
        o = first + lane
        row = 0 if a[F.alpha_rows] == 1 else o
        offset_alpha[block, lane] = k[row, 0]
        for i in range(M):
            for j in range(N):
                phi[block, i, j, lane] = np.float64(k[row, i + 1]) * np.float64(l[j + 1])
        _set_bits(arguments, block, lane, o)
        for tap in range(KH * KW):
            tap_sum = np.float64(k[row, 0]) * np.float64(CG)
            for i in range(M):
                ones = _ones(arguments, block, lane, i, tap)
                tap_sum += np.float64(k[row, i + 1]) * np.float64(ones)
            offset_taps[block, tap, lane] = np.float64(l[0]) * tap_sum

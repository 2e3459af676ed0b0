"""Prepare the weights, once per node: packed codes to weight words, coefficients to lanes.

    words[g, b, (kh*KW + kw)*CW + cw, i, lane] bit c  =  T_i[o, 32*cw + c, kh, kw],  o = g*OG + b*LANES + lane
    words[g, b, kh*CW + t, i, lane] bit r  =  T_i[o, c, kh, kw],  kw*CG + c = 32*t + r      folded (kernels/fold.py)
    phi[o, i, j]        = scale_o * alpha_i * beta_j
    offset_alpha[o]     = scale_o * alpha_0
    offset_taps[o, tap] = scale_o * beta_0 * ( sum_i alpha_i |T_i[o, :, tap]| + alpha_0 * CG )

each product in float64, narrowed once to float32. Lanes past the last output channel stay zero.
A code without a mask is reported in the error slot; its weight counts as code 0.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from paconv.bits import MAX_PLANES, WORD_BITS
from paconv.kernels.arguments import LANES, F
from paconv.kernels.memory import pointer, stack_buffer

__all__ = ["prepare_weights"]

_SET_BITS = 8 * MAX_PLANES


def prepare_weights(arguments, task):
    """Task g*OB + b prepares lane block b of group g. Expects weight_words, phi, ... zeroed."""
    a = carray(arguments, (len(F),), np.int64)
    M, N, CG, CW, KH, KW = a[F.M], a[F.N], a[F.CG], a[F.CW], a[F.KH], a[F.KW]
    block = np.int64(task)
    group, first_lane = block // a[F.OB], (block % a[F.OB]) * LANES
    first = group * a[F.OG] + first_lane
    lanes = min(LANES, a[F.OG] - first_lane)

    codes = carray(pointer(a[F.codes]), (a[F.R], a[F.code_bytes]), np.uint8)
    masks = carray(pointer(a[F.weight_masks]), (a[F.weight_codes],), np.uint8)
    alpha = carray(pointer(a[F.alpha]), (a[F.alpha_rows], M + 1), np.float32)
    beta = carray(pointer(a[F.beta]), (N + 1,), np.float32)
    scale = carray(pointer(a[F.scale]), (a[F.O],), np.float32)
    bias = carray(pointer(a[F.bias]), (a[F.O],), np.float32)
    blocks = a[F.G] * a[F.OB]
    words = carray(pointer(a[F.weight_words]), (blocks, a[F.taps] * a[F.run], M, LANES), np.uint32)
    phi = carray(pointer(a[F.phi]), (blocks, M, N, LANES), np.float32)
    base = carray(pointer(a[F.base]), (blocks, LANES), np.float32)
    offset_alpha = carray(pointer(a[F.offset_alpha]), (blocks, LANES), np.float32)
    offset_taps = carray(pointer(a[F.offset_taps]), (blocks, KH * KW, LANES), np.float32)
    set_bits = carray(pointer(stack_buffer(_SET_BITS)), (MAX_PLANES,), np.int64)

    for lane in range(lanes):
        o = first + lane
        row = 0 if a[F.alpha_rows] == 1 else o
        scale_o = np.float64(scale[o])
        base[block, lane] = bias[o]
        offset_alpha[block, lane] = scale_o * np.float64(alpha[row, 0])
        for i in range(M):
            for j in range(N):
                phi[block, i, j, lane] = scale_o * np.float64(alpha[row, i + 1]) * np.float64(beta[j + 1])
        for tap in range(KH * KW):
            for i in range(M):
                set_bits[i] = 0
            for c in range(CG):
                k = (o * CG + c) * KH * KW + tap
                code = np.int64(0)
                for r in range(a[F.R]):
                    code |= ((np.int64(codes[r, k >> 3]) >> (k & 7)) & 1) << r
                if code >= a[F.weight_codes]:
                    a[F.error] = 1 + k
                    code = 0
                mask = np.int64(masks[code])
                row_bit = tap % KW * CG + c if a[F.folded] else tap % KW * CW * WORD_BITS + c
                word = tap // KW * (CW if a[F.folded] else KW * CW) + row_bit // WORD_BITS
                for i in range(M):
                    bit = (mask >> i) & 1
                    set_bits[i] += bit
                    words[block, word, i, lane] |= np.uint32(bit << (row_bit % WORD_BITS))
            tap_sum = np.float64(alpha[row, 0]) * np.float64(CG)
            for i in range(M):
                tap_sum += np.float64(alpha[row, i + 1]) * np.float64(set_bits[i])
            offset_taps[block, tap, lane] = scale_o * np.float64(beta[0]) * tap_sum

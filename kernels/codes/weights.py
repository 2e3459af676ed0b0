"""Prepare the weights as level codes, once per node (kernels/codes/choose_codes.py has the algebra).

    words[g, b, kh, kw*CW + cw, lane]  =  bytes k of w[o, c, kh, kw] of the four channels c that share word cw,
                                          o = g*OG + b*LANES + lane
    start[o] = -zero * sum k

where a window's row is one run of words; where it is several, kh, kw are one index and the next is cw. Runs are filled
up with zeros to whole words_at_once. Lanes past the last output channel stay zero. A code without a mask is reported in
the error slot.

span_sums[g, b, s] is the largest magnitude of a sum of products over a span of the window, MIN_SPAN << s words, of the
first two or of the last two channels of each, whatever the activations: with bytes from -l to u, l, u >= 0, and the
span's positive weights adding up to P, its negative ones to -Q, sums lie within +-max(P u + Q l, Q u + P l).
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from paconv.kernels.arguments import CODING, LANES, MAX_LEVELS, MIN_SPAN, SPANS, F
from paconv.kernels.codes.choose_codes import level_value
from paconv.kernels.emit.memory import pointer, stack_buffer
from paconv.kernels.unpack import UNPACKED, unpack

__all__ = ["prepare_codes", "whole_run"]

_function = njit(error_model="numpy")
_TABLE_BYTES = 8 * MAX_LEVELS
_HALVES = 2
_SPAN_LANES_BYTES = 4 * _HALVES * LANES * SPANS


@_function
def whole_run(a):
    """Words of weights from one run to the next."""
    return (a[F.run] + a[F.words_at_once] - 1) // a[F.words_at_once] * a[F.words_at_once]


@_function
def _prepare_lane(arguments, block, lane, o):
    """Words and factors of output channel o."""
    a = carray(arguments, (F.count,), np.int64)
    M, CG, CW, taps = a[F.M], a[F.CG], a[F.CW], a[F.KH] * a[F.KW]
    masks = carray(pointer(a[F.weight_masks]), (a[F.weight_codes],), np.uint8)
    alpha_k = carray(pointer(a[F.alpha_k]), (a[F.alpha_rows], M + 1), np.float32)
    coding = carray(pointer(a[F.coding]), (CODING.count,), np.float64)
    start = carray(pointer(a[F.start]), (a[F.G] * a[F.OB], LANES), np.int32)
    table = carray(pointer(stack_buffer(_TABLE_BYTES)), (MAX_LEVELS,), np.int64)
    unpacked = stack_buffer(UNPACKED)
    code_of = carray(pointer(unpacked), (UNPACKED,), np.uint8)
    row = 0 if a[F.alpha_rows] == 1 else o
    for code in range(a[F.weight_codes]):
        table[code] = np.int64(level_value(alpha_k[row], np.int64(masks[code]), M)[0])

    # one lane's words lie LANES words apart
    room, taps_of_run = whole_run(a), taps // a[F.taps]
    word = a[F.weight_words] + (block * a[F.taps] * room * LANES + lane) * 4
    first, window = o * CG * taps, CG * taps
    tap, within, total, at, tap_of_run = 0, 0, np.int64(0), 0, 0
    done = 0
    while done < window:
        skip, count = unpack(a, first + done, window - done, unpacked)
        for k in range(skip, skip + count):
            code = np.int64(code_of[k])
            total += table[code]
            carray(pointer(word + at * LANES * 4 + within), (1,), np.int8)[0] = np.int8(table[code])
            tap, tap_of_run, at = tap + 1, tap_of_run + 1, at + CW
            if tap_of_run == taps_of_run:
                tap_of_run, at = 0, at + room - a[F.run]
            if tap == taps:
                tap, at, within = 0, 0, within + 1
                if within == 4:
                    within, word = 0, word + LANES * 4
        done += count
    start[block, lane] = np.int32(-np.int64(coding[CODING.zero]) * total)


@_function
def _sum_spans(arguments, block):
    """Fill span_sums of a block from its words."""
    a = carray(arguments, (F.count,), np.int64)
    positive = carray(pointer(stack_buffer(_SPAN_LANES_BYTES)), (SPANS, LANES, _HALVES), np.int32)
    negative = carray(pointer(stack_buffer(_SPAN_LANES_BYTES)), (SPANS, LANES, _HALVES), np.int32)
    taps, run = a[F.taps], a[F.run]
    shape = a[F.G] * a[F.OB], taps, whole_run(a), LANES, 2 * _HALVES
    weights = carray(pointer(a[F.weight_words]), shape, np.int8)
    largest = carray(pointer(a[F.span_sums]), (a[F.G] * a[F.OB], SPANS), np.int64)
    coding = carray(pointer(a[F.coding]), (CODING.count,), np.float64)
    lower, upper = -min(np.int64(coding[CODING.least]), 0), max(np.int64(coding[CODING.largest]), 0)
    for s in range(SPANS):
        for lane in range(LANES):
            for half in range(_HALVES):
                positive[s, lane, half], negative[s, lane, half] = 0, 0
    for tap in range(taps):
        for word in range(run):
            for lane in range(LANES):
                for half in range(_HALVES):
                    for k in (weights[block, tap, word, lane, 2 * half], weights[block, tap, word, lane, 2 * half + 1]):
                        positive[0, lane, half] += max(np.int32(k), np.int32(0))
                        negative[0, lane, half] -= min(np.int32(k), np.int32(0))
            finished = tap * run + word + 1
            s = 0
            while s < SPANS and (finished == taps * run or finished % (MIN_SPAN << s) == 0):
                for lane in range(LANES):
                    for half in range(_HALVES):
                        P, Q = np.int64(positive[s, lane, half]), np.int64(negative[s, lane, half])
                        largest[block, s] = max(largest[block, s], P * upper + Q * lower, Q * upper + P * lower)
                        if s + 1 < SPANS:
                            positive[s + 1, lane, half] += positive[s, lane, half]
                            negative[s + 1, lane, half] += negative[s, lane, half]
                        positive[s, lane, half], negative[s, lane, half] = 0, 0
                s += 1


def prepare_codes(arguments, task):
    """Task g*OB + b prepares lane block b of group g. Expects weight_words, ... zeroed, and `coding` filled."""
    a = carray(arguments, (F.count,), np.int64)
    block = np.int64(task)
    first_lane = (block % a[F.OB]) * LANES
    first = block // a[F.OB] * a[F.OG] + first_lane
    for lane in range(min(LANES, a[F.OG] - first_lane)):
        _prepare_lane(arguments, block, lane, first + lane)
    _sum_spans(arguments, block)

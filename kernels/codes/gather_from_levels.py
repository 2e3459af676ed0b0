"""Gather level codes from level indexes: each byte becomes that of its level, by a small table.

    words[b, g, h + PT, w + PL, cw]  =  level_codes[L[b, h, w, c]] of the four channels c that share word cw

as kernels/codes/gather.py has them. Where bytes rise one by one that is a sum; else the table is small and levels
ascend, so that a byte is chosen by E comparisons of CHUNK channels at once. A level above E counts as E. Window
padding is the shim's to fill; H x W, XSH and XSW are as in kernels/planes/gather.py.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit
from numba.core import cgutils

from paconv.kernels.arguments import CODING, LEVEL_RUN, F
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.memory import copy_bytes, pointer, stack_buffer
from paconv.kernels.emit.vectors import broadcast, const, element, i8, load, store, vector

__all__ = ["gather_level_codes"]

_CHUNK = 64
_inline = njit(inline="always", error_model="numpy")


@emitted
def _choose(builder, levels, codes, rising, E, target):
    """target[c] = codes[levels[c]] for CHUNK channels c. Addresses without alignment, all uint8; codes (E+1,), the next
    one more than each where `rising` is 1.
    """
    kind = vector(i8, _CHUNK)

    def code(level):
        return broadcast(builder, element(builder, codes, level, i8), kind)

    found = load(builder, levels, kind, align=1)
    chosen = cgutils.alloca_once(builder, kind)
    with builder.if_else(builder.icmp_signed("!=", rising, const(0))) as (by_sum, by_comparisons):
        with by_sum:
            last = broadcast(builder, builder.trunc(E, i8), kind)
            level = builder.select(builder.icmp_unsigned("<", found, last), found, last)
            builder.store(builder.add(level, code(0)), chosen)
        with by_comparisons:
            builder.store(code(0), chosen)
            with turns(builder, E) as loop:
                above = builder.icmp_unsigned(">", found, broadcast(builder, builder.trunc(loop.index, i8), kind))
                reaching = code(builder.add(loop.index, const(1)))
                builder.store(builder.select(above, reaching, builder.load(chosen)), chosen)
    store(builder, builder.load(chosen), target, align=1)


def gather_level_codes(arguments, task):
    """Task (b*G + g)*gather_runs + run packs LEVEL_RUN positions of one group."""
    a = carray(arguments, (F.count,), np.int64)
    W, CG, E, codes = a[F.W], a[F.CG], a[F.E], a[F.level_codes]
    rising = np.int64(carray(pointer(a[F.coding]), (CODING.count,), np.float64)[CODING.rising])
    image, first = np.int64(task) // a[F.gather_runs], np.int64(task) % a[F.gather_runs] * LEVEL_RUN
    last = min(first + LEVEL_RUN, a[F.H] * W)
    batch, group = image // a[F.G], image % a[F.G]
    positions, word_bytes = a[F.Hp] * a[F.Wp], a[F.CW] * 4
    side_by_side = a[F.C] == CG == word_bytes and a[F.XSW] == 1  # a row's levels, and their codes
    row, column = first // W, first % W
    while first < last:
        source_row = batch * a[F.XH] + row * a[F.XSH]
        source = a[F.levels] + (source_row * a[F.XW] + column * a[F.XSW]) * a[F.C] + group * CG
        place = (row + a[F.PT]) * a[F.Wp] + column + a[F.PL]
        target = a[F.words] + (image * positions + place) * word_bytes
        done = min(last - first, W - column) if side_by_side else 1
        _recode(source, CG * done, codes, rising, E, target)
        first, column = first + done, column + done
        if column == W:
            row, column = row + 1, 0


@_inline
def _recode(source, count, codes, rising, E, target):
    """target[k] = codes[source[k]], k < count."""
    levels_at, codes_at = stack_buffer(_CHUNK), stack_buffer(_CHUNK)
    for k in range(0, count - _CHUNK + 1, _CHUNK):
        _choose(source + k, codes, rising, E, target + k)
    rest = count % _CHUNK
    if rest:
        copy_bytes(levels_at, source + count - rest, rest)
        _choose(levels_at, codes, rising, E, codes_at)
        copy_bytes(target + count - rest, codes_at, rest)

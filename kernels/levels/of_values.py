"""PALevels: the levels of values alone, by the channel-last finish.

    L[c] = #{ e : sign_c * X[c] >= v[c, e] }

The last lane block, where it has fewer than LANES channels, goes through buffers: nothing behind X is read.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from paconv.kernels.arguments import EVEN_ROWS, LANES, LEVEL_RUN, F
from paconv.kernels.emit.memory import copy_bytes, stack_buffer
from paconv.kernels.emit.vectors import VECTOR
from paconv.kernels.finish.channel_last import finish

__all__ = ["levels_of_values"]

_LOW, _HIGH = np.float32(-np.inf), np.float32(np.inf)


def levels_of_values(arguments, task):
    """PALevels: task t is positions t*LEVEL_RUN on, all channels: x (B*H*W, C) float32 -> levels_1 uint8."""
    a = carray(arguments, (F.count,), np.int64)
    C, E, first = a[F.C], a[F.E_1], np.int64(task) * LEVEL_RUN
    count = min(LEVEL_RUN, a[F.B] * a[F.H] * a[F.W] - first)
    values_at, levels_at = stack_buffer(VECTOR), stack_buffer(LANES)
    for block in range(a[F.OB]):
        row, lanes, at = 0 if a[F.v_rows] == 1 else block, C - block * LANES, first * C + block * LANES
        thresholds, flips = a[F.thresholds_1] + row * (E + EVEN_ROWS) * VECTOR, a[F.flips_1] + row * VECTOR
        values, levels = a[F.x] + at * 4, a[F.levels_1] + at
        if lanes >= LANES:
            finish(count, values, 4 * C, 0, _LOW, _HIGH, 0, C, thresholds, flips, E, levels, 0, 0, 0, 0)
        else:
            for p in range(count):
                copy_bytes(values_at, values + p * 4 * C, 4 * lanes)
                finish(1, values_at, 0, 0, _LOW, _HIGH, 0, 0, thresholds, flips, E, levels_at, 0, 0, 0, 0)
                copy_bytes(levels + p * C, levels_at, lanes)

"""PALevels: the levels of values alone, by the channel-last finish.

    L[c] = #{ e : sign_c * X[c] >= v[c, e] }

The last lane block, where it has fewer than LANES channels, goes through a buffer: nothing behind X is read.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from paconv.kernels.arguments import LANES, LEVEL_RUN, F
from paconv.kernels.emit.memory import copy_bytes, stack_buffer
from paconv.kernels.emit.vectors import VECTOR
from paconv.kernels.finish.channel_last import store_channel_last

__all__ = ["levels_of_values"]

_VALUES_BYTES = LEVEL_RUN * VECTOR


def levels_of_values(arguments, task):
    """PALevels: task t is positions t*LEVEL_RUN on, all channels: x (B*H*W, C) float32 -> levels_1 uint8."""
    a = carray(arguments, (F.count,), np.int64)
    C, first, values_at = a[F.C], np.int64(task) * LEVEL_RUN, stack_buffer(_VALUES_BYTES)
    count = min(LEVEL_RUN, a[F.B] * a[F.H] * a[F.W] - first)
    for block in range(a[F.OB]):
        values, apart, lanes = a[F.x] + (first * C + block * LANES) * 4, C * 4, C - block * LANES
        if lanes < LANES:
            for p in range(count):
                copy_bytes(values_at + p * VECTOR, values + p * apart, 4 * lanes)
            values, apart = values_at, np.int64(VECTOR)
        store_channel_last(a, values, apart, 0, 0, block, first, count)

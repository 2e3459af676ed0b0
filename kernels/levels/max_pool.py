"""PALevelMaxPool: the largest level of each window.

P[b, oh, ow, c] = max over the window's positions inside the image of L[b, h, w, c];  0 where there is none
"""

from __future__ import annotations

import numpy as np
from numba import carray

from paconv.kernels.arguments import F
from paconv.kernels.emit.memory import pointer

__all__ = ["pool_levels"]


def pool_levels(arguments, task):
    """Task b*OH + oh pools one row: levels (B, H, W, C) uint8 -> levels_1 (B, OH, OW, C) uint8."""
    a = carray(arguments, (F.count,), np.int64)
    H, W, C, OH, OW = a[F.H], a[F.W], a[F.C], a[F.OH], a[F.OW]
    batch, oh = np.int64(task) // OH, np.int64(task) % OH
    levels = carray(pointer(a[F.levels] + batch * H * W * C), (H, W, C), np.uint8)
    pooled = carray(pointer(a[F.levels_1] + np.int64(task) * OW * C), (OW, C), np.uint8)
    top = oh * a[F.SH] - a[F.PT]
    for ow in range(OW):
        left = ow * a[F.SW] - a[F.PL]
        for c in range(C):
            pooled[ow, c] = 0
        for h in range(max(top, 0), min(top + a[F.KH], H)):
            for w in range(max(left, 0), min(left + a[F.KW], W)):
                for c in range(C):
                    pooled[ow, c] = max(pooled[ow, c], levels[h, w, c])

"""Second moments of what a layer reads, and of what it is to give, over sampled windows.

    H = sum_r (x_r - mean x)(x_r - mean x)^T     (K, K)
    G = sum_r (x_r - mean x)(t_r - mean t)^T     (K, O)

x_r (K,) a window of the quantized input, t_r (O,) a target. Levels that are integers up to B have exact sums in
float32 as long as fewer than 2**24 / B^2 windows are added up; blocks of so many are summed in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["Moments", "moments"]

_EXACT, _ROWS = 1 << 24, 4096
"""Integers below which float32 is exact; windows per block at most."""


class Moments:
    """Sums over `count` windows: of x, x x^T, t, x t^T and t^2."""

    def __init__(self, K: int, O: int) -> None:
        self.count = 0
        self.x, self.xx = np.zeros(K), np.zeros((K, K))
        self.t, self.xt, self.tt = np.zeros(O), np.zeros((K, O)), np.zeros(O)

    def add(self, x: np.ndarray, t: np.ndarray) -> None:
        """Windows x (R, K) float32 and their targets t (R, O) float32."""
        self.count += len(x)
        self.x += x.sum(0, dtype=np.float64)
        self.xx += x.T @ x
        self.t += t.sum(0, dtype=np.float64)
        self.xt += x.T @ t
        self.tt += (t.astype(np.float64) ** 2).sum(0)

    def __add__(self, other: Moments) -> Moments:
        total = Moments(len(self.x), len(self.t))
        total.count = self.count + other.count
        for name in ("x", "xx", "t", "xt", "tt"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    @property
    def H(self) -> np.ndarray:
        """(K, K), centred."""
        return self.xx - np.outer(self.x, self.x / max(self.count, 1))

    @property
    def G(self) -> np.ndarray:
        """(K, O), centred."""
        return self.xt - np.outer(self.x, self.t / max(self.count, 1))


def moments(
    rows: Callable[[slice], tuple[np.ndarray, np.ndarray]], count: int, K: int, O: int, largest: float | None
) -> Moments:
    """Moments of `count` windows. rows(part): windows (R, K) and targets (R, O), float32, of that part of them.

    largest: the largest |x| where all x are integers, None where they aren't.
    """
    block = _ROWS if not largest else max(1, min(_ROWS, int(_EXACT / largest**2) - 1))
    found = Moments(K, O)
    for start in range(0, count, block):
        found.add(*rows(slice(start, min(start + block, count))))
    return found

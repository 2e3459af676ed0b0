"""What is done to the channels of a tensor before one step function is laid over them: a shift and a stretch each.

    z = (x - shift_c) stretch_c

A convolution of z in place of x has the weights of channel c divided by stretch_c, and a bias for the shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Channels", "channel_means"]


@dataclass(frozen=True)
class Channels:
    """What is done to each channel."""

    shift: np.ndarray | None = None
    """(1, C, 1, 1) float32; None for 0."""
    stretch: np.ndarray | None = None
    """(1, C, 1, 1) float32: powers of two, so that nothing rounds; None for 1."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """z for x (B, C, H, W)."""
        x = x if self.shift is None else x - self.shift
        return x if self.stretch is None else x * self.stretch

    def each(self, x: np.ndarray, channel: np.ndarray) -> np.ndarray:
        """z for single values x (n,) of the channels `channel` (n,)."""
        x = x if self.shift is None else x - self.shift.reshape(-1)[channel]
        return x if self.stretch is None else x * self.stretch.reshape(-1)[channel]

    @property
    def changed(self) -> bool:
        """Whether anything is done."""
        return self.shift is not None or self.stretch is not None

    def weights(self, weight: np.ndarray) -> np.ndarray:
        """(O, C/g, KH, KW): what the weights of a convolution that reads x become for z."""
        if self.stretch is None:
            return weight
        width = weight.shape[1]
        grouped = weight.reshape(self.stretch.size // width, -1, *weight.shape[1:])
        return (grouped / self.stretch.reshape(-1, 1, width, 1, 1)).reshape(weight.shape)


def channel_means(batches: Sequence[np.ndarray]) -> np.ndarray:
    """(1, C, 1, 1) float32: the mean of each channel's finite values in (B, C, H, W); 0 where there are none."""
    total, count = 0.0, 0.0
    for batch in batches:
        finite = np.isfinite(batch)
        total = total + np.where(finite, batch, 0).sum((0, 2, 3), dtype=np.float64)
        count = count + finite.sum((0, 2, 3))
    return (total / np.maximum(count, 1)).astype(np.float32).reshape(1, -1, 1, 1)

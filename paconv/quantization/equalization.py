"""Levels of a tensor whose channels are first made about as wide as each other, where that makes the error smaller.

Behind a depthwise convolution one channel may be fifty times as wide as another, and one step function for both sends
all of the narrow one to the level 0. Multiplying channel c by a power of two and dividing the weights that read it by
the same moves the difference into the weights (M. Nagel et al., *Data-Free Quantization Through Weight Equalization and
Bias Correction*, 2019; how far, as in G. Xiao et al., *SmoothQuant*, 2022):

    stretch_c = 2 ** round(-t log2(s_c / s)),   s_c^2 = mean z_c^2,   s = the median of s_c

t = 0 leaves the channels as they are, t = 1 the weights alone to be different. The t is taken that costs least, by an
estimate from before anything is fitted: with n_c the mean squared error of z_c at its level and d_ock that of a weight,

    E(t) = sum_c (sum_ok w_ock^2) n_c / stretch_c^2  +  sum_c (sum_ok d_ock^2) stretch_c^2 var x_c

over all convolutions that read the tensor; 0 unless another one is clearly better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paconv.lloyd_max import midpoints
from paconv.quantization.activation_levels import ActivationLevels, LevelChoice, fit_levels
from paconv.quantization.channels import Channels, channel_means
from paconv.quantization.codebook import gaussian_levels

__all__ = ["equalized_levels"]

_EXPONENTS = (0.25, 0.5, 0.75, 1.0)
"""t besides 0."""

_LARGEST = 6
"""Of |log2 stretch|: a channel that is next to constant isn't blown up."""

_CLEARLY = 0.9
"""E(t) / E(0) below which channels are stretched."""

Reader = tuple[np.ndarray, int]
"""The weights (O, C/g, KH, KW) float32 of a convolution, and how many levels besides 0 they are to have."""

_BATCHES = 4
"""Of the samples, that errors are estimated on."""


def equalized_levels(
    batches: list[np.ndarray],
    readers: Sequence[Reader],
    wanted: LevelChoice,
    *,
    signed: bool,
    shift: np.ndarray | None,
    seed: int,
) -> ActivationLevels:
    """The `wanted` levels and 0 for a tensor (B, C, H, W) in parts.

    readers: the convolutions that read it. signed, seed: as for fit_levels. shift: (1, C, 1, 1) float32 or
    None, taken off before.
    """
    few = batches[:: -(-len(batches) // _BATCHES)]
    mean, unstretched = Channels(channel_means(few)), Channels(shift)
    variances, squares = (_mean_squares([channels(x) for x in few]) for channels in (mean, unstretched))
    levels = fit_levels(batches, wanted, signed=signed, channels=unstretched, seed=seed)
    best = _CLEARLY * _cost(levels, few, readers, variances)
    for channels in _stretched(shift, squares):
        stretched = fit_levels(batches, wanted, signed=signed, channels=channels, seed=seed)
        cost = _cost(stretched, few, readers, variances)
        if cost < best:
            levels, best = stretched, cost
    return levels


def _stretched(shift: np.ndarray | None, squares: np.ndarray) -> list[Channels]:
    """What t makes of channels of the mean squares (C,), each but once, and not what leaves them as they are."""
    alive = squares > 0
    if not alive.any():
        return []
    widths = np.zeros(len(squares))
    widths[alive] = np.log2(squares[alive] / np.median(squares[alive])) / 2
    powers = [np.clip(np.round(-exponent * widths), -_LARGEST, _LARGEST) for exponent in _EXPONENTS]
    different = {power.tobytes(): power for power in powers if power.any()}
    return [Channels(shift, np.exp2(p).astype(np.float32).reshape(1, -1, 1, 1)) for p in different.values()]


def _cost(
    levels: ActivationLevels, batches: Sequence[np.ndarray], readers: Sequence[Reader], variances: np.ndarray
) -> float:
    """E."""
    channels = levels.channels
    stretch = 1.0 if channels.stretch is None else channels.stretch.reshape(-1).astype(np.float64)
    noise = _mean_squares([channels(x) - levels.table[levels.index(x)] for x in batches]) / stretch**2
    cost = 0.0
    for weight, M in readers:
        cost += float((_by_channel(weight.astype(np.float64) ** 2, len(noise)) * noise).sum())
        wrong = _by_channel(_weight_errors(channels.weights(weight), M) ** 2, len(noise))
        cost += float((wrong * stretch**2 * variances).sum())
    return cost


def _weight_errors(weight: np.ndarray, M: int) -> np.ndarray:
    """(O, C/g, KH, KW) float64: what weights lose at M levels and 0 of a normal variable as wide as their channel."""
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    scales = np.sqrt((flat**2).mean(1, keepdims=True))
    z = flat / np.where(scales > 0, scales, 1)
    c = gaussian_levels(M)
    return (scales * (c[np.searchsorted(midpoints(c), z)] - z)).reshape(weight.shape)


def _by_channel(values: np.ndarray, C: int) -> np.ndarray:
    """(C,): sums of `values` (O, C/g, KH, KW) over what reads each channel."""
    width = values.shape[1]
    return values.reshape(C // width, -1, width, *values.shape[2:]).sum((1, 3, 4)).reshape(-1)


def _mean_squares(batches: Sequence[np.ndarray]) -> np.ndarray:
    """(C,) float64: of each channel of (B, C, H, W) in parts; what isn't finite counts as 0."""
    total = np.zeros(batches[0].shape[1])
    for x in batches:
        total += (np.where(np.isfinite(x), x, 0) ** 2).sum((0, 2, 3), dtype=np.float64)
    return total / sum(x[:, 0].size for x in batches)

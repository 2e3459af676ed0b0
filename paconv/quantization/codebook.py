"""The codebook of a layer's weights: M+1 levels c, one of them 0, and a scale a_o per output channel.

    w[o, k] ~ a_o c[code[o, k]]
    c   = k-means of w / a with weights a^2, 0 pinned
    a_o = <w_o, c[code_o]> / <c[code_o], c[code_o]>

in turns, from a_o the root mean square of the channel's weights and c the Lloyd-Max quantizer of a Gaussian. With a
largest integer A, c are integers up to A times a unit (paconv.grid), and the scales are fitted to these.

Where planes are binary digits, c are the integers of M bits in two's complement, and a_o is the scale with the least
squared error: of those with which the largest weight is the largest integer or is clipped, each then fitted to the
integers that the weights have with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paconv.gaussian import half_gaussian_quantizer
from paconv.grid import nearest_grid
from paconv.lloyd_max import SortedValues, lloyd_max, midpoints

__all__ = ["Codebook", "even_codebook", "fit_codebook", "gaussian_levels"]

_TURNS, _ROUNDS = 8, 30

_CLIPPED = np.arange(1, 0.2, -1 / 32)
"""Parts of the largest weight of a channel up to which its levels reach."""

_ENOUGH = 1 << 19
"""Weights that c is fitted to; of more, evenly spaced ones are taken."""


@dataclass(frozen=True)
class Codebook:
    """Levels and scales of one layer."""

    levels: np.ndarray
    """c: (L,) float64 ascending, L = M+1 or 2^M; integers where the layer is on a grid."""
    zero: int
    """Index of the level 0."""
    scales: np.ndarray
    """a: (O,) float64; 0 for a channel of zeros."""

    def nearest(self, w: np.ndarray) -> np.ndarray:
        """(O, ...) intp: code of the level nearest to each weight of w (O, ...)."""
        scales = np.where(self.scales > 0, self.scales, 1).reshape(-1, *[1] * (w.ndim - 1))
        codes = np.searchsorted(midpoints(self.levels), w / scales)
        codes[self.scales == 0] = self.zero
        return codes


def gaussian_levels(M: int) -> np.ndarray:
    """(M+1,): 0 in the middle and the Lloyd-Max levels of a standard normal variable on either side; M is even."""
    half = np.array(half_gaussian_quantizer(M // 2)[1])
    return np.concatenate([-half[::-1], [0.0], half])


def fit_codebook(w: np.ndarray, M: int, most: int | None) -> Codebook:
    """The codebook of the weights w (O, K) float64; most: the largest integer of the grid, None for real levels."""
    scales = np.sqrt((w**2).mean(1))
    alive = scales > 0
    if not alive.any():
        return Codebook(
            gaussian_levels(M) if most is None else _integers(gaussian_levels(M), None, most), M // 2, scales
        )
    c = gaussian_levels(M)
    for _ in range(_TURNS):
        values = w[alive, :: -(-w.size // _ENOUGH)] / scales[alive, None]
        weights = np.broadcast_to(scales[alive, None] ** 2, values.shape)
        c = lloyd_max(SortedValues.of(values.ravel(), weights.ravel()), c, M // 2, _ROUNDS)
        scales = _fitted(w, Codebook(c, M // 2, scales))
        alive = scales > 0
    if most is not None:
        book = Codebook(c, M // 2, scales)
        c = _integers(c, np.bincount(book.nearest(w).ravel(), minlength=M + 1), most)
        scales = scales * _unit(book.levels, c)
        for _ in range(2):
            scales = _fitted(w, Codebook(c, M // 2, scales))
    return Codebook(c, M // 2, scales)


def even_codebook(w: np.ndarray, M: int) -> Codebook:
    """The 2^M evenly spaced levels of M binary digits for the weights w (O, K) float64."""
    half = 2 ** (M - 1)
    largest = np.abs(w).max(1)
    best, scales = np.full(len(w), np.inf), largest / half
    for part in _CLIPPED:
        tried = part * largest / (half - 0.5)
        k = np.clip(np.rint(w / np.where(tried > 0, tried, 1)[:, None]), -half, half - 1)
        square, dot = (k * k).sum(1), (w * k).sum(1)
        tried = np.where(square > 0, dot / np.where(square > 0, square, 1), 0)
        error = (w * w).sum(1) - tried * dot
        scales, best = np.where(error < best, tried, scales), np.minimum(best, error)
    return Codebook(np.arange(-half, half).astype(np.float64), half, scales)


def _fitted(w: np.ndarray, book: Codebook) -> np.ndarray:
    """The least-squares scale of each channel for its nearest codes; the old one where all of them are 0."""
    q = book.levels[book.nearest(w)]
    square, dot = (q * q).sum(1), (w * q).sum(1)
    return np.where((square > 0) & (dot > 0), dot / np.where(square > 0, square, 1), book.scales)


def _integers(c: np.ndarray, counts: np.ndarray | None, most: int) -> np.ndarray:
    return nearest_grid(c, most, counts).integers.astype(np.float64)


def _unit(c: np.ndarray, k: np.ndarray) -> float:
    return float((c * k).sum() / (k * k).sum())

"""One convolution quantized: its weights, scale and bias, such that its output on quantized activations is near the
float network's.

With x_r the windows of the quantized input, integers on a grid, and y_r the float network's outputs at the same places:

    1. regression    w += ridge regression of y - x w^T on x                       (paconv.quantization.regression)
    2. codebook      w[o] ~ a_o c[code]                                            (paconv.quantization.codebook)
    3. codes         by error feedback over H                                      (paconv.quantization.error_feedback)
    4. scale, bias   g_o = cov(q, y) / var(q) in [1/4, 4], b_o = mean y - g_o mean q,  q_r = x_r (a_o c[code])^T

1 and 3 are left out by `fast`, and where there are more than _MOST_COLUMNS weights per output (a VGG's first linear
layer); codes are the nearest ones then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from paconv.grid import exact_unit
from paconv.quantization.activation_levels import ActivationLevels
from paconv.quantization.codebook import Codebook, even_codebook, fit_codebook
from paconv.quantization.error_feedback import with_error_feedback
from paconv.quantization.regression import regression
from paconv.quantization.second_moments import Moments, moments
from paconv.quantization.settings import Settings
from paconv.quantization.windows import Geometry, draw, windows

__all__ = ["LayerError", "QuantizedWeights", "Rows", "quantized_weights", "sampled_rows"]

_MOST_ROWS, _ROWS_PER_COLUMN = 1 << 15, 4
"""Windows: the larger of the two, the second times the weights of a channel."""

_MOST_COLUMNS = 1 << 13
"""K up to which the second moments (K, K) of the windows are taken: 0.5 GB in float64."""

_GAIN = (0.25, 4.0)
"""Bounds of g."""

_ROWS_OF_ERROR = 1 << 12
"""Windows on which a layer's own error is measured."""

_HELD_OUT = 4
"""Every fourth image is kept from the regression while lambda is chosen."""


@dataclass(frozen=True)
class Rows:
    """Sampled windows of a convolution."""

    x: np.ndarray
    """(R, C, KH, KW): indices of levels, uint8; real activations, float32, where the layer has no levels."""
    y: np.ndarray
    """(R, O) float32: the float network's output."""
    held_out: np.ndarray
    """(R,) bool: windows of images that a regression isn't fitted to while its lambda is chosen."""
    real_y: np.ndarray
    """(S, O) float32: what the float layer gives in the quantized network, for some of the windows."""
    real_at: np.ndarray
    """(S,) intp: which windows these are."""


@dataclass(frozen=True)
class LayerError:
    """Squared errors relative to the variance of the float output, over windows and channels."""

    quantized: float
    """Of the layer's output in the quantized network."""
    real: float
    """The same if this layer stayed real: what the layers before it have done."""

    @property
    def added(self) -> float:
        """By how much quantizing this layer raises the error; below 0 where it makes up for some."""
        return self.quantized - self.real


@dataclass(frozen=True)
class QuantizedWeights:
    """The weights of one convolution as levels, and what its sums are scaled by."""

    codes: np.ndarray
    """(O, C/g, KH, KW) uint8."""
    levels: np.ndarray
    """(L,) float64: c; integers on a grid. L is M+1, or 2^M of binary digits."""
    zero: int
    """Index of the level 0."""
    units: np.ndarray
    """(O,) float64: a weight is unit_o c[code]; no rounding in float32 on a grid."""
    bias: np.ndarray
    """(O,) float32."""
    penalty: float | None
    """lambda of the regression; None without one."""
    error: LayerError
    """What it did."""

    @property
    def table(self) -> np.ndarray:
        """(O, L) float32: the levels of each channel's weights."""
        return (self.units[:, None] * self.levels).astype(np.float32)

    @property
    def values(self) -> np.ndarray:
        """(O, C/g, KH, KW) float32: the weights as levels."""
        rows = self.codes.reshape(len(self.codes), -1).astype(np.intp)
        return np.take_along_axis(self.table, rows, 1).reshape(self.codes.shape)


def sampled_rows(
    quantized: list[np.ndarray],
    exact: list[np.ndarray],
    levels: ActivationLevels | None,
    weight: np.ndarray,
    bias: np.ndarray,
    geometry: Geometry,
    seed: int,
) -> Rows:
    """Windows of one convolution over all batches.

    quantized, exact: what it reads in the quantized and in the float network, (B, C, H, W) float32 per batch. weight
    (O, C/g, KH, KW), bias (O,) float32: the float layer's.
    """
    sizes = [len(x) * int(np.prod(geometry.output_size(*x.shape[2:]))) for x in quantized]
    K = weight[0].size
    count = max(_MOST_ROWS, _ROWS_PER_COLUMN * K)
    share = min(1.0, _ROWS_OF_ERROR / max(min(sum(sizes), count), 1))
    drawn = draw(sizes, count, np.random.default_rng(seed))
    spacing = max(1, round(1 / share))
    parts: list[tuple[np.ndarray, ...]] = []
    waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def convolve() -> None:
        """The outputs of the waiting windows: few large products are faster than many small ones."""
        for number, x in enumerate(zip(*waiting, strict=True)):
            found[number].append(_convolved(np.concatenate(x), weight, bias, geometry.group))
        waiting.clear()

    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    done = image = gathered = 0
    for x, parent, size, at in zip(quantized, exact, sizes, drawn, strict=True):
        read = x if levels is None else levels.index(x)
        few = np.arange(len(at))[::spacing]
        held_out = (image + at // max(size // len(x), 1)) % _HELD_OUT == _HELD_OUT - 1
        parts.append((windows(read, geometry, at, 0 if levels is None else levels.zero), held_out, done + few))
        waiting.append((windows(parent, geometry, at, 0), windows(x, geometry, at[few], 0)))
        done, image, gathered = done + len(at), image + len(x), gathered + len(at)
        if gathered >= _ROWS_OF_ERROR:
            convolve()
            gathered = 0
    if waiting:
        convolve()
    taken, held, real_at = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(taken, np.concatenate(found[0]), held, np.concatenate(found[1]), real_at)


def quantized_weights(
    rows: Rows,
    levels: ActivationLevels | None,
    weight: np.ndarray,
    settings: Settings,
    group: int,
) -> QuantizedWeights:
    """The weights (O, C/g, KH, KW) float32 of a convolution as `settings` wants them."""
    O, K = len(weight), weight[0].size
    unit = 1.0 if levels is None else levels.unit
    if levels is not None:
        weight = levels.channels.weights(weight)
    w = weight.reshape(group, O // group, K).astype(np.float64) * unit
    penalty = None
    H: list[np.ndarray] = []
    if not settings.fast and K <= _MOST_COLUMNS:
        penalties = []
        for g in range(group):
            part = slice(g * (O // group), (g + 1) * (O // group))
            kept, held_out = (_missing(rows, levels, w[g], g, group, part, which) for which in (False, True))
            added, penalty = regression(kept, held_out)
            penalties.append(penalty)
            w[g] += added
            H.append((kept + held_out).H)
        penalty = next((p for p in penalties if p is not None), None)
    flat = w.reshape(O, K)
    most, _ = settings.largest
    book = even_codebook(flat, settings.M) if settings.digits else fit_codebook(flat, settings.M, most)
    codes = _codes(flat, book, H, group).astype(np.uint8)
    q = _outputs(rows, levels, book.levels[codes].reshape(weight.shape), group)  # without scales
    scales = book.scales * _gain(q, rows.y, book.scales) / unit
    units = np.array([exact_unit(a, most) for a in scales]) if most is not None else scales
    # a channel of next to no weights: below normal floats its scale would keep the whole layer off the grid
    units = np.where(units * unit < np.finfo(np.float32).tiny, 0, units)
    bias = (rows.y.mean(0, dtype=np.float64) - units * unit * q.mean(0, dtype=np.float64)).astype(np.float32)
    found = q * (units * unit).astype(np.float32) + bias
    error = LayerError(_relative(found, rows.y), _relative(rows.real_y, rows.y[rows.real_at]))
    return QuantizedWeights(codes.reshape(weight.shape), book.levels, book.zero, units, bias, penalty, error)


def _codes(w: np.ndarray, book: Codebook, H: list[np.ndarray], group: int) -> np.ndarray:
    """(O, K): codes of w (O, K), by error feedback where there is an H (K, K) per group, the nearest otherwise."""
    if not H:
        return book.nearest(w)
    found = []
    for rows, scales, moments_of in zip(np.split(w, group), np.split(book.scales, group), H, strict=True):
        part = Codebook(book.levels, book.zero, scales)

        def nearest(column: np.ndarray, part: Codebook = part) -> np.ndarray:
            return part.scales * part.levels[part.nearest(column)]

        found.append(part.nearest(with_error_feedback(rows, moments_of, nearest)))
    return np.concatenate(found)


def _blocks(rows: Rows, levels: ActivationLevels | None, g: int, group: int, at: np.ndarray) -> np.ndarray:
    """(R, K) float32: the windows `at` of group g as numbers, integers on a grid."""
    width = rows.x.shape[1] // group
    taken = rows.x[at, g * width : (g + 1) * width].reshape(len(at), -1)
    return taken if levels is None else levels.levels[taken]


def _missing(
    rows: Rows, levels: ActivationLevels | None, w: np.ndarray, g: int, group: int, part: slice, held_out: bool
) -> Moments:
    """Moments of one group with what its weights w (O/g, K) leave of the float output."""
    chosen = np.flatnonzero(rows.held_out == held_out)
    narrow = w.astype(np.float32).T

    def block(of: slice) -> tuple[np.ndarray, np.ndarray]:
        at = chosen[of]
        x = _blocks(rows, levels, g, group, at)
        return x, rows.y[at, part] - x @ narrow

    return moments(block, len(chosen), w.shape[1], w.shape[0], None if levels is None else levels.largest)


def _outputs(rows: Rows, levels: ActivationLevels | None, q: np.ndarray, group: int) -> np.ndarray:
    """(R, O) float32: sums of the windows with the weights q (O, C/g, KH, KW)."""
    found = np.empty(rows.y.shape, np.float32)
    width = len(q) // group
    for at in _parts(len(rows.y)):
        for g in range(group):
            part = slice(g * width, (g + 1) * width)
            found[at, part] = _blocks(rows, levels, g, group, at) @ q[part].reshape(width, -1).T.astype(np.float32)
    return found


def _parts(count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, _ROWS_OF_ERROR):
        yield np.arange(start, min(start + _ROWS_OF_ERROR, count))


def _convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, group: int) -> np.ndarray:
    """(R, O) float32: the convolution's output for windows x (R, C, KH, KW)."""
    found = np.empty((len(x), len(weight)), np.float32)
    width, O = x.shape[1] // group, len(weight) // group
    for g in range(group):
        w = weight[g * O : (g + 1) * O].reshape(O, -1)
        found[:, g * O : (g + 1) * O] = x[:, g * width : (g + 1) * width].reshape(len(x), w.shape[1]) @ w.T
    return found + bias


def _gain(q: np.ndarray, y: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """g (O,) float64 for outputs scales * q (R, O) against y (R, O); 1 for a channel that doesn't vary."""
    q, y = q.astype(np.float64) * scales, y.astype(np.float64)
    mean = q.mean(0)
    variance = ((q - mean) ** 2).mean(0)
    varies = variance > np.finfo(np.float32).eps ** 2 * mean**2
    covariance = ((q - mean) * (y - y.mean(0))).mean(0)
    return np.clip(np.where(varies, covariance / np.where(varies, variance, 1), 1.0), *_GAIN)


def _relative(found: np.ndarray, wanted: np.ndarray) -> float:
    wanted = wanted.astype(np.float64)
    power = ((wanted - wanted.mean(0)) ** 2).sum() if len(wanted) else 0.0
    return float(((found - wanted) ** 2).sum() / power) if power > 0 else 0.0

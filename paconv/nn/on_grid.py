"""Levels of a quantizer on an integer grid (paconv.grid), as tensors: pure functions of the levels that training has.

    rows of W: weights of one scale each, all of them or one output channel's;   share_e: how often piece e occurs
    error^2 = sum_e share_e (level_e - snapped_e)^2 / sum_e share_e level_e^2          over all rows

Levels that aren't finite are on no grid and stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from paconv.grid import MOST_WEIGHT, exact_unit, integers_of, nearest_grid, nearest_sums
from paconv.nn.steps import Steps

__all__ = ["Memory", "largest_integer", "relative_error", "snapped_codebook", "snapped_levels", "snapped_steps"]

Found = TypeVar("Found")


class Memory:
    """The last result of a function, for as long as it is asked about the same tensors."""

    def __init__(self) -> None:
        self.asked: tuple[np.ndarray, ...] = ()
        self.found: object = None

    def __call__(self, function: Callable[..., Found], most: int, *tensors: Tensor) -> Found:
        """function(most, *tensors), tensors as numpy arrays."""
        asked = (np.array(most), *(tensor.detach().cpu().numpy() for tensor in tensors))
        same = len(asked) == len(self.asked) and all(map(np.array_equal, asked, self.asked))
        if not same:
            self.asked, self.found = tuple(map(np.copy, asked)), function(most, *asked[1:])
        return self.found  # type: ignore[return-value]


def snapped_levels(levels: Tensor, counts: Tensor, most: int, memory: Memory) -> Tensor:
    """`levels` (L,) on the nearest grid of integers up to `most`, at most 127 where one is negative; counts (L,): how
    often each occurs.
    """
    found = memory(_grid_levels, most, levels, counts)
    return torch.from_numpy(found).to(levels)


def snapped_steps(steps: Steps, counts: Tensor, most: int, memory: Memory) -> Steps:
    """`steps` with coefficients and levels, row by row, on the nearest grid of integers up to `most`.

    At most 127 where one of them is negative. counts (R, E+1): how often each piece occurs.
    """
    found = memory(_grid_coefficients, most, steps.coefficients, steps.masks, counts)
    return Steps(steps.endpoints, torch.from_numpy(found).to(steps.coefficients), steps.masks)


def snapped_codebook(
    codebook: Tensor, scales: Tensor, counts: Tensor, most: int, memory: Memory
) -> tuple[Tensor, Tensor]:
    """`codebook` (L,) as integers up to `most`, and the `scales` (O,) that they are times then, both float64.

    counts (L,): how often each level occurs.
    """
    integers, units = memory(_grid_codebook, most, codebook, scales, counts)
    return torch.from_numpy(integers).to(codebook), torch.from_numpy(units).to(scales)


def largest_integer(steps: Steps, most: int) -> int | None:
    """The largest |k| of the coefficients where each row of them, and its levels, are integers times a unit.

    The integers go up to `most`, at most 127 where one is negative; None where there are none.
    """
    largest = 0
    for coefficients, levels in zip(_rows(steps.coefficients), _rows(steps.levels), strict=True):
        bound = _bound(most, coefficients, levels)
        for values in (coefficients, levels):
            if (found := integers_of(values, bound)) is None:
                return None
            largest = max(largest, int(np.abs(found.integers).max()))
    return largest


def relative_error(levels: Tensor, snapped: Tensor, counts: Tensor) -> float:
    """The error above; levels, snapped, counts (R, L)."""
    shares, exact = counts.double().cpu(), levels.double().cpu()
    power = (shares * exact.square()).sum()
    moved = (shares * (exact - snapped.double().cpu()).square()).sum()
    return (moved / power).sqrt().item() if power > 0 else 0.0


def _grid_levels(most: int, levels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if not np.isfinite(levels).all():
        return levels.copy()
    grid = nearest_grid(levels, _bound(most, levels), counts)
    return grid.unit * grid.integers


def _grid_codebook(
    most: int, codebook: np.ndarray, scales: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    grid = nearest_grid(codebook, _bound(most, codebook), counts)
    return grid.integers.astype(np.float64), np.array([exact_unit(scale * grid.unit, most) for scale in scales])


def _grid_coefficients(most: int, coefficients: np.ndarray, masks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    rows = len(coefficients)
    masks, counts = (np.broadcast_to(table, (rows, table.shape[1])) for table in (masks, counts))
    found = np.empty(coefficients.shape)
    for row, values in enumerate(coefficients):
        found[row] = values
        if not np.isfinite(values).all():
            continue
        bits = (masks[row].astype(np.int64) >> np.arange(values.size - 1)[:, None]) & 1
        levels = values[0].astype(np.float64) + values[1:].astype(np.float64) @ bits
        grid = nearest_sums(values, masks[row], _bound(most, values, levels), counts[row])
        found[row] = grid.unit * grid.integers
    return found


def _bound(most: int, *values: np.ndarray) -> int:
    return min(most, MOST_WEIGHT) if any((v < 0).any() for v in values) else most


def _rows(table: Tensor) -> np.ndarray:
    return table.detach().float().cpu().numpy()

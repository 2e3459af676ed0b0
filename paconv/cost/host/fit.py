"""Seconds per unit of work from measured times: least squares of relative errors, no coefficient below 0.

    minimize over x >= 0:   sum over measurements m of ( (A x + k)_m / t_m - 1 )^2

A: units of work of each measurement; t: its seconds; k: the part of it that is known already. A kernel's times span
microseconds to milliseconds; relative errors weigh them alike. Solved exactly by the active-set method of Lawson and
Hanson (1974).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["fit_rates", "median_error", "seconds"]

_TOLERANCE = 1e-10
"""Against columns scaled to length 1 and a right side of ones: far below any noise of timing."""


def seconds(work: Mapping[str, float], rates: Mapping[str, float]) -> float:
    """The time of some units of work at these rates (unit -> seconds)."""
    return sum(count * rates[unit] for unit, count in work.items())


def fit_rates(
    works: Sequence[Mapping[str, float]], times: Sequence[float], known: Sequence[float] | None = None
) -> dict[str, float]:
    """Unit -> seconds, for every unit in `works`.

    times, above 0, and known, 0 if not given: seconds per work.
    """
    units = list(dict.fromkeys(unit for work in works for unit in work))
    A = np.array([[work.get(unit, 0.0) for unit in units] for work in works], np.float64)
    t = np.asarray(times, np.float64)
    A /= t[:, None]
    lengths = np.linalg.norm(A, axis=0)
    lengths[lengths == 0] = 1
    found = _nonnegative(A / lengths, 1 - np.asarray(known or np.zeros_like(t)) / t) / lengths
    return dict(zip(units, found.tolist(), strict=True))


def median_error(works: Sequence[Mapping[str, float]], times: Sequence[float], rates: Mapping[str, float]) -> float:
    """Median of |predicted / measured - 1|."""
    errors = [abs(seconds(work, rates) / time - 1) for work, time in zip(works, times, strict=True)]
    return float(np.median(errors))


def _nonnegative(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """argmin over x >= 0 of |A x - b|."""
    x = np.zeros(A.shape[1])
    free = np.zeros(A.shape[1], bool)
    while True:
        gradient = np.where(free, -np.inf, A.T @ (b - A @ x))
        if gradient.max() <= _TOLERANCE:
            return x
        free[gradient.argmax()] = True
        while True:
            trial = np.zeros_like(x)
            trial[free] = np.linalg.lstsq(A[:, free], b, rcond=None)[0]
            below = free & (trial <= 0)
            if not below.any():
                break
            x += (x[below] / (x[below] - trial[below])).min() * (trial - x)
            free &= x > _TOLERANCE
            x[~free] = 0
        x = trial

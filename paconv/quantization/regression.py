"""Ridge regression: weights that make up for what the quantized input of a layer has lost.

    w' = w + ((H + lambda h I)^-1 G)^T,     h = mean diag H

G the moments of the windows with what is missing, the float output less w's output on the quantized input. Windows of
one image resemble each other, so that a regression on few images fits these alone: lambda is the one of LAMBDAS, or no
regression at all, that leaves the smallest error on a part of the images that the weights weren't fitted to.
"""

from __future__ import annotations

import numpy as np

from paconv.quantization.second_moments import Moments

__all__ = ["LAMBDAS", "regression"]

LAMBDAS = (1.0, 4.0, 16.0, 64.0)


def regression(fitted: Moments, held_out: Moments) -> tuple[np.ndarray, float | None]:
    """What is to be added to the weights, (O, K) float64, and lambda; zeros and None where nothing helps.

    fitted, held_out: moments of disjoint windows with what is missing as targets.
    """
    both = fitted + held_out
    K = len(both.x)
    if not held_out.count or not fitted.count:
        return _solved(both, 1.0), 1.0
    candidates = {factor: _error(_solved(fitted, factor), held_out) for factor in LAMBDAS}
    best = min(candidates, key=lambda factor: candidates[factor])
    if candidates[best] >= _error(np.zeros((len(both.t), K)), held_out):
        return np.zeros((len(both.t), K)), None
    return _solved(both, best), best


def _solved(m: Moments, factor: float) -> np.ndarray:
    H = m.H
    mean = np.diag(H).mean()
    if not mean > 0:
        return np.zeros((len(m.t), len(m.x)))
    H[np.diag_indices_from(H)] += factor * mean
    return np.linalg.solve(H, m.G).T


def _error(added: np.ndarray, m: Moments) -> float:
    """Sum of squares of what is missing after `added` (O, K), centred, but for a constant."""
    return float(((added @ m.H) * added).sum() - 2 * (added * m.G.T).sum())

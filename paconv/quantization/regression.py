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
    if not held_out.count or not fitted.count:
        return _solved(both.H, both.G, 1.0), 1.0
    (H, G), (held_H, held_G) = ((m.H, m.G) for m in (fitted, held_out))
    errors = {factor: _error(_solved(H, G, factor), held_H, held_G) for factor in LAMBDAS}
    best = min(errors, key=lambda factor: errors[factor])
    if errors[best] >= 0:
        return np.zeros(both.G.T.shape), None
    return _solved(both.H, both.G, best), best


def _solved(H: np.ndarray, G: np.ndarray, factor: float) -> np.ndarray:
    mean = np.diag(H).mean()
    if not mean > 0:
        return np.zeros(G.T.shape)
    damped = H.copy()
    damped[np.diag_indices_from(damped)] += factor * mean
    return np.linalg.solve(damped, G).T


def _error(added: np.ndarray, H: np.ndarray, G: np.ndarray) -> float:
    """Change of the sum of squares of what is missing by `added` (O, K), centred."""
    return float(((added @ H) * added).sum() - 2 * (added * G.T).sum())

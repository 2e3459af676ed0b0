"""Codes of weights with error feedback (GPTQ): each column makes up for the rounding of those before it.

    minimize  sum_o (w_o - q_o) H (w_o - q_o)^T,     H = (U U^T), U upper triangular

Columns are taken one after the other, the ones with the largest H_ii first. With d = w - q of the columns before,

    q_i = the level nearest to  w_i + (sum_{j < i} d_j U_ji) / U_ii

which is what GPTQ's update w_j -= e U'_ij, e = d_i / U'_ii, with U' = U^-1 comes to, without the inverse: row i of
(w - q) U is U_ii times the distance from that target. Source: Frantar et al., "GPTQ", 2022, whose dampening H + 0.01
mean(diag H) I is used too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["DAMPENING", "with_error_feedback"]

DAMPENING = 0.01
"""Of the mean of H's diagonal, added to it."""

_BLOCK = 64


def with_error_feedback(w: np.ndarray, H: np.ndarray, nearest: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """q (O, K): the levels for the weights w (O, K) float64.

    H: (K, K) float64, positive semidefinite. nearest(column (O,)): the level nearest to each weight, (O,).
    """
    diagonal = np.diag(H)
    order = np.argsort(-diagonal, kind="stable")
    damped = H[np.ix_(order, order)]
    damped[np.diag_indices_from(damped)] += DAMPENING * diagonal.mean() if diagonal.any() else 1.0
    # the flipped Cholesky factor of the flipped matrix is upper triangular
    U = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    w = w[:, order]
    q, d = np.empty_like(w), np.empty_like(w)
    for start in range(0, w.shape[1], _BLOCK):
        end = min(start + _BLOCK, w.shape[1])
        carried = d[:, :start] @ U[:start, start:end]
        for i in range(start, end):
            column = carried[:, i - start] + d[:, start:i] @ U[start:i, i]
            q[:, i] = nearest(w[:, i] + column / U[i, i])
            d[:, i] = w[:, i] - q[:, i]
    found = np.empty_like(q)
    found[:, order] = q
    return found

"""Codes by error feedback."""

import numpy as np
import pytest

from paconv.quantization.error_feedback import DAMPENING, with_error_feedback

LEVELS = np.array([-1.5, -0.5, 0, 0.5, 1.5])


def nearest(column: np.ndarray) -> np.ndarray:
    return LEVELS[np.abs(column[:, None] - LEVELS).argmin(1)]


def as_published(w: np.ndarray, H: np.ndarray) -> np.ndarray:
    """GPTQ, column by column, with the upper Cholesky factor of the inverse."""
    H = H + DAMPENING * np.diag(H).mean() * np.eye(len(H))
    order = np.argsort(-np.diag(H), kind="stable")
    w, H = w[:, order].copy(), H[np.ix_(order, order)]
    U = np.linalg.cholesky(np.linalg.inv(H)).T
    q = np.empty_like(w)
    for i in range(w.shape[1]):
        q[:, i] = nearest(w[:, i])
        w[:, i:] -= np.outer((w[:, i] - q[:, i]) / U[i, i], U[i, i:])
    found = np.empty_like(q)
    found[:, order] = q
    return found


def problem(seed: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    x = r.standard_normal((4 * K, K)) @ r.standard_normal((K, K))
    return r.standard_normal((7, K)), x.T @ x


@pytest.mark.parametrize("K", [1, 3, 64, 65, 150])
def test_the_codes_are_those_of_the_published_update(K):
    for seed in range(3):
        w, H = problem(seed, K)
        assert np.array_equal(with_error_feedback(w, H, nearest), as_published(w, H))


def test_columns_that_have_nothing_to_do_with_each_other_get_the_nearest_level():
    w, _ = problem(0, 40)
    diagonal = np.diag(np.random.default_rng(1).uniform(1, 2, 40))
    assert np.array_equal(with_error_feedback(w, diagonal, nearest), nearest(w.ravel()).reshape(w.shape))


@pytest.mark.parametrize("seed", range(4))
def test_the_outputs_error_is_smaller_than_with_the_nearest_levels(seed):
    w, H = problem(seed, 60)

    def error(q):
        return (((w - q) @ H) * (w - q)).sum()

    assert error(with_error_feedback(w, H, nearest)) < 0.7 * error(nearest(w.ravel()).reshape(w.shape))


def test_an_input_that_is_always_zero_is_no_trouble():
    w, _ = problem(0, 20)
    assert np.array_equal(with_error_feedback(w, np.zeros((20, 20)), nearest), nearest(w.ravel()).reshape(w.shape))

"""The ridge regression of weights."""

import numpy as np
import pytest

from paconv.quantization.regression import LAMBDAS, regression
from paconv.quantization.second_moments import Moments, moments


def parts(x: np.ndarray, missing: np.ndarray, split: int) -> tuple[Moments, Moments]:
    x, missing = x.astype(np.float32), missing.astype(np.float32)
    K, O = x.shape[1], missing.shape[1]
    return tuple(
        moments(lambda part, a=a, b=b: (x[a:b][part], missing[a:b][part]), b - a, K, O, None)
        for a, b in ((0, split), (split, len(x)))
    )


def test_what_is_missing_is_made_up_for():
    r = np.random.default_rng(0)
    x, wanted = r.standard_normal((4000, 10)), r.standard_normal((3, 10))
    added, penalty = regression(*parts(x, x @ wanted.T + 5, 3000))
    assert penalty == 1
    # H is close to 4000 I, so lambda = 1 halves the weights
    assert added == pytest.approx(wanted / 2, abs=0.1)


def test_with_few_windows_lambda_is_the_one_that_holds_elsewhere():
    r = np.random.default_rng(1)
    K = 64
    count = 2 * K
    x, wanted = r.standard_normal((count, K)), r.standard_normal((2, K)) / 8
    clean, noisy = x @ wanted.T, x @ wanted.T + 4 * r.standard_normal((count, 2))
    assert regression(*parts(x, clean, 3 * count // 4))[1] == LAMBDAS[0]
    penalty = regression(*parts(x, noisy, 3 * count // 4))[1]
    assert penalty is None or penalty >= 4


def test_noise_alone_changes_nothing():
    r = np.random.default_rng(2)
    x, noise = r.standard_normal((80, 60)), r.standard_normal((80, 2))
    added, penalty = regression(*parts(x, noise, 60))
    assert penalty is None or penalty == LAMBDAS[-1]
    assert np.abs(added).max() < 0.05


def test_an_input_without_spread_adds_nothing():
    added, _ = regression(*parts(np.ones((50, 4)), np.ones((50, 2)), 40))
    assert not added.any()

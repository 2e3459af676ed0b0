"""Sums over windows."""

import numpy as np
import pytest

from paconv.quantization.second_moments import moments


@pytest.mark.parametrize("largest", [31, 63, 255])
def test_sums_of_integers_are_exact(largest):
    r = np.random.default_rng(largest)
    x = r.integers(0, largest + 1, (9000, 12)).astype(np.float32)
    x[:, 0] = largest  # the most that can add up
    t = r.standard_normal((9000, 3)).astype(np.float32)
    found = moments(lambda part: (x[part], t[part]), len(x), 12, 3, largest)
    whole = x.astype(np.int64)
    assert found.count == 9000
    assert np.array_equal(found.xx, whole.T @ whole) and np.array_equal(found.x, whole.sum(0))


def test_centred_moments_are_those_of_the_definition():
    r = np.random.default_rng(0)
    x, t = r.standard_normal((500, 6)).astype(np.float32) + 3, r.standard_normal((500, 2)).astype(np.float32)
    found = moments(lambda part: (x[part], t[part]), 500, 6, 2, None)
    centred = x.astype(np.float64) - x.astype(np.float64).mean(0)
    # float32 sums of 500 products of magnitude about 10: 500 * 10 * 2**-24 each, and some cancel
    assert found.H == pytest.approx(centred.T @ centred, abs=0.01)
    assert found.G == pytest.approx(centred.T @ t, abs=0.01)


def test_moments_of_two_parts_add_up():
    r = np.random.default_rng(1)
    x, t = r.integers(0, 9, (300, 5)).astype(np.float32), r.integers(0, 9, (300, 4)).astype(np.float32)

    def of(a: int, b: int):
        return moments(lambda part: (x[a:b][part], t[a:b][part]), b - a, 5, 4, 8)

    both, whole = of(0, 100) + of(100, 300), of(0, 300)
    for name in ("count", "x", "xx", "t", "xt", "tt"):
        assert np.array_equal(getattr(both, name), getattr(whole, name))

"""Evenly spaced levels for data on one side of 0 or on both."""

import numpy as np
import pytest

from paconv.quantization.activation_levels import LevelChoice, fit_levels
from paconv.quantization.channels import Channels
from paconv.quantization.even_levels import even_levels

DATA = {
    "half normal": lambda r, n: np.abs(r.standard_normal(n)),
    "normal": lambda r, n: r.standard_normal(n) + 0.3,
    "silu": lambda r, n: (lambda z: z / (1 + np.exp(-z)))(2 * r.standard_normal(n)),
    "heavy tails": lambda r, n: r.standard_t(2, n),
    "negative": lambda r, n: -r.exponential(size=n),
}


def error(x, unit, z, p):
    return float(((x - unit * np.clip(np.rint(x / unit), -z, p)) ** 2).sum())


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("count", [1, 3, 15])
def test_they_have_the_least_squared_error(data, count):
    x = DATA[data](np.random.default_rng(0), 3000)
    unit, z, p = even_levels(x, count, 127)
    assert z + p == count and (z == 0 or x.min() < 0) and (p == 0 or x.max() > 0)
    shares = range(count + 1) if x.min() < 0 else [0]
    units = np.abs(x).max() * np.geomspace(0.005, 1.2, 1500)
    best = min(error(x, u, below, count - below) for below in shares for u in units)
    assert error(x, unit, z, p) <= 1.003 * best


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("N", [1, 4, 7, 8])
def test_their_codes_are_binary_numbers_of_signed_or_unsigned_bytes(data, N):
    x = DATA[data](np.random.default_rng(1), 4000).astype(np.float32).reshape(1, 1, -1, 1)
    for signed in (True, False):
        found = fit_levels([x], LevelChoice(N, None, digits=True), signed=signed, channels=Channels(), seed=0)
        k = found.levels
        assert np.array_equal(np.diff(k), np.ones(len(k) - 1)) and k[found.zero] == 0
        assert len(k) <= 2**N and (len(k) == 2**N or np.abs(k).max() == 127)
        assert k[0] == 0 or (signed and np.abs(k).max() <= 127)
        exact = (k[1:].astype(np.float64) + k[:-1]) / 2 * found.unit
        assert np.array_equal(found.v, exact) and np.array_equal(found.table, k.astype(np.float64) * found.unit)
        assert found.counts.sum() == x.size


def test_nothing_but_zeros_has_levels_too():
    assert even_levels(np.zeros(5), 7, 127) == (1.0, 0, 7)

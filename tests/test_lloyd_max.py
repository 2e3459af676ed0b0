"""Lloyd-Max levels with one pinned at 0."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paconv.gaussian import half_gaussian_quantizer
from paconv.lloyd_max import SortedValues, levels_on_both_sides, lloyd_max, midpoints

GUESS = [np.array(half_gaussian_quantizer(k)[1]) if k else np.zeros(0) for k in range(9)]

values = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=60).map(np.array)


def error(x: np.ndarray, levels: np.ndarray) -> float:
    return float(((x - levels[np.searchsorted(midpoints(levels), x, side="right")]) ** 2).sum())


@given(x=values, N=st.integers(1, 8))
def test_levels_settle_where_each_is_the_mean_of_its_piece(x, N):
    levels = lloyd_max(SortedValues.of(x[x > 0]), np.concatenate([[0.0], GUESS[N]]), 0)
    assert levels[0] == 0 and (np.diff(levels) >= 0).all()
    piece = np.searchsorted(midpoints(levels), x[x > 0], side="right")
    for k in range(1, N + 1):
        if (piece == k).any():
            assert levels[k] == pytest.approx(x[x > 0][piece == k].mean(), rel=1e-9)


@given(x=values, weights=st.integers(1, 5), N=st.integers(1, 4))
def test_a_weight_counts_as_so_many_equal_values(x, weights, N):
    start = np.concatenate([[0.0], GUESS[N]])
    x = np.abs(x)
    repeated = lloyd_max(SortedValues.of(np.repeat(x, weights)), start, 0)
    weighted = lloyd_max(SortedValues.of(x, np.full(x.size, weights)), start, 0)
    assert weighted == pytest.approx(repeated, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_few_values_get_the_levels_with_the_least_error(seed):
    x = np.random.default_rng(seed).exponential(size=9)
    found = lloyd_max(SortedValues.of(x), np.concatenate([[0.0], GUESS[2] * np.sqrt((x**2).mean())]), 0)
    ordered = np.sort(x)
    best = min(
        (ordered[:a] ** 2).sum() + ((ordered[a:b] - ordered[a:b].mean()) ** 2).sum()
        + ((ordered[b:] - ordered[b:].mean()) ** 2).sum()
        for a, b in combinations(range(len(x)), 2)
        if a < b < len(x)
    )  # fmt: skip
    # Lloyd's rounds end in a local minimum; from the Gaussian's levels it is within a third of the global one here
    assert best <= error(x, found) * (1 + 1e-12) and error(x, found) <= 4 / 3 * best


def test_levels_are_shared_out_by_the_data():
    r = np.random.default_rng(0)
    x = np.concatenate([r.exponential(1.0, 4000), -r.exponential(0.2, 4000)])
    levels, zero = levels_on_both_sides(x, 5, signed=True)
    assert levels[zero] == 0 and len(levels) == 6 and (np.diff(levels) > 0).all()
    assert 1 <= zero <= 2
    others = []
    for below in range(6):
        sides = [
            lloyd_max(SortedValues.of(side), np.concatenate([[0.0], GUESS[k] * np.sqrt((side**2).mean())]), 0)
            for side, k in ((x[x > 0], 5 - below), (-x[x < 0], below))
        ]
        others.append(error(x, np.concatenate([-sides[1][:0:-1], sides[0]])))
    assert error(x, levels) == pytest.approx(min(others), rel=1e-9)
    assert np.argmin(others) == zero


@pytest.mark.parametrize(
    ("x", "signed", "below"), [([1, 2, 3.0], True, 0), ([-1, -2.0], True, 3), ([-1, 2.0], False, 0)]
)
def test_one_side_gets_all_levels_where_there_is_but_one(x, signed, below):
    levels, zero = levels_on_both_sides(np.array(x), 3, signed=signed)
    assert zero == below and levels[zero] == 0 and len(levels) == 4

"""Levels on an integer grid: found again where they are on one, and the nearest one where they aren't."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paconv.errors import UsageError
from paconv.grid import (
    UNIT_BITS,
    checked_grid,
    exact_unit,
    integers_of,
    nearest_grid,
    nearest_sums,
    parse_grid,
)

MOST = st.sampled_from([1, 3, 7, 15, 31, 63, 127, 255])
UNITS = st.floats(2.0**-20, 2.0**20, width=32)


def some_levels(least: float = -1e4, largest: float = 1e4, size: int = 9):
    return st.lists(st.floats(least, largest, width=32, allow_subnormal=False), min_size=1, max_size=size).map(
        lambda values: np.array(values, np.float32)
    )


@given(UNITS, st.lists(st.integers(-127, 127), min_size=1, max_size=9))
def test_products_of_any_float32_unit_are_recognised_with_integers_no_larger(unit, k):
    integers = np.array(k)
    levels = (np.float64(np.float32(unit)) * integers).astype(np.float32)
    found = integers_of(levels, 127)
    assert found is not None
    assert np.array_equal((found.unit * found.integers).astype(np.float32), levels)
    assert np.abs(found.integers).max() <= np.abs(integers).max()


@given(st.integers(1, 255), st.lists(st.integers(-255, 255), min_size=1, max_size=9))
def test_levels_that_are_rounded_quotients_are_recognised_too(denominator, k):
    levels = (np.array(k) / denominator).astype(np.float32)
    found = integers_of(levels, 255)
    assert found is not None
    assert np.array_equal((found.unit * found.integers).astype(np.float32), levels)


def test_the_smallest_integers_are_found():
    assert integers_of(np.float32([0.5, -1.5, 1.0]), 127).integers.tolist() == [1, -3, 2]
    assert integers_of(np.float32([125, 50, 50, 125]), 127).integers.tolist() == [5, 2, 2, 5]
    assert integers_of(np.float32([0.0, 0.1, 0.3]), 127).integers.tolist() == [0, 1, 3]


@given(some_levels(size=3), st.sampled_from([1, 2, 5]))
def test_the_integers_found_are_those_of_a_search_through_all(levels, most):
    """A unit's interval, level by level, in exact arithmetic on float64: those of float32 are halfway points."""
    found = integers_of(levels, most)
    smallest = None
    nonzero = np.abs(levels[levels != 0]).astype(np.float64)
    for k in product(range(1, most + 1), repeat=len(nonzero)):
        units = np.float64(nonzero) / np.array(k)
        middle = (units.min() + units.max()) / 2 if k else 1
        if np.array_equal((middle * np.array(k)).astype(np.float32), nonzero.astype(np.float32)):
            smallest = max(k, default=0) if smallest is None else min(smallest, max(k))
    if smallest is not None:
        assert found is not None and np.abs(found.integers).max() <= smallest
    if found is not None:
        assert np.array_equal((found.unit * found.integers).astype(np.float32), levels)


@pytest.mark.parametrize(
    "levels",
    [[1.0, np.pi], [1.0, np.nextafter(np.float32(2), np.float32(3))], [1.0, 128.0], [1.0, np.inf], [np.nan, 1.0]],
)
def test_what_is_on_no_grid_is_none(levels):
    assert integers_of(np.float32(levels), 127) is None


@pytest.mark.parametrize("levels", [[0.0, 0.0], [-0.0], np.zeros((2, 0)), np.zeros((2, 3))])
def test_zeros_have_the_unit_1(levels):
    found = integers_of(np.float32(levels), 127)
    assert found.unit == 1 and not found.integers.any() and found.integers.shape == np.shape(levels)


@pytest.mark.parametrize("level", [np.finfo(np.float32).max, np.finfo(np.float32).tiny, 2.0**-149, 1.0])
def test_a_single_level_is_its_own_unit_at_any_size(level):
    found = integers_of(np.float32([level, -level]), 127)
    assert found.unit == level and found.integers.tolist() == [1, -1]


@given(some_levels(), MOST, st.data())
def test_the_nearest_grid_is_within_its_limits_exact_in_float32_and_recognised(levels, most, data):
    counts = np.array(data.draw(st.lists(st.integers(0, 1000), min_size=len(levels), max_size=len(levels))))
    grid = nearest_grid(levels, most, counts)
    assert grid.unit > 0 and np.abs(grid.integers).max() <= most
    assert float(grid.unit).hex() == float(exact_unit(grid.unit, 2 ** (24 - UNIT_BITS) - 1)).hex()
    snapped = grid.unit * grid.integers
    assert np.array_equal(snapped.astype(np.float32).astype(np.float64), snapped)
    found = integers_of(snapped.astype(np.float32), most)
    assert found is not None and np.array_equal(found.unit * found.integers, snapped)


@given(UNITS, st.lists(st.integers(-15, 15), min_size=1, max_size=9))
def test_levels_on_a_grid_keep_their_integers_and_snapping_again_changes_nothing(unit, k):
    integers = np.array(k)
    grid = nearest_grid((unit * integers).astype(np.float32), 15)
    divisor = max(np.gcd.reduce(integers), 1)
    assert np.array_equal(grid.integers, integers // divisor)
    assert not integers.any() or abs(grid.unit / (divisor * unit) - 1) <= 2.0**-UNIT_BITS
    again = nearest_grid((grid.unit * grid.integers).astype(np.float32), 15)
    assert again.unit == grid.unit and np.array_equal(again.integers, grid.integers)


@given(some_levels(-10, 10, 5), st.sampled_from([3, 7]), st.data())
def test_no_unit_of_a_fine_search_is_much_better(levels, most, data):
    """The search has 32 units or more a step of the largest integer, each then the best for its integers."""
    assume(np.abs(levels).max() > 1e-3)
    counts = np.array(data.draw(st.lists(st.integers(1, 100), min_size=len(levels), max_size=len(levels))))
    values, shares = levels.astype(np.float64), counts / counts.sum()
    grid = nearest_grid(levels, most, counts)
    error = (shares * (values - grid.unit * grid.integers) ** 2).sum()
    units = np.abs(values).max() / np.linspace(0.6, most + 0.45, 20000)[:, None]
    k = np.clip(np.rint(values / units), -most, most)
    best = (shares * (values - units * k) ** 2).sum(1).min()
    # The unit has 16 bits: (2^-16)^2 of the levels' own squares on top.
    assert error <= best * 1.05 + (shares * values**2).sum() * 2.0**-30


def test_levels_that_occur_often_are_met_best():
    levels = np.float32([0.31, 1.0])
    often = nearest_grid(levels, 2, np.array([1000, 1]))
    seldom = nearest_grid(levels, 2, np.array([1, 1000]))
    error = {name: np.abs(levels - g.unit * g.integers) for name, g in (("often", often), ("seldom", seldom))}
    assert error["often"][0] < error["seldom"][0] and error["often"][1] > error["seldom"][1]


def test_where_nothing_was_counted_or_only_zeros_all_levels_count():
    levels = np.float32([0, 0.4, 1.1])
    equal = nearest_grid(levels, 7)
    for counts in ([0, 0, 0], [5, 0, 0], [3, 3, 3]):
        grid = nearest_grid(levels, 7, np.array(counts))
        assert (grid.unit, grid.integers.tolist()) == (equal.unit, equal.integers.tolist())


@pytest.mark.parametrize("scale", [2.0**-149, 1e-43, 1e-38, 1e38])
def test_the_smallest_and_the_largest_floats_have_a_grid(scale):
    levels = np.float32([-1, 0, 2.5]) * np.float32(scale)
    grid = nearest_grid(levels, 15)
    snapped = grid.unit * grid.integers
    assert np.isfinite(snapped).all() and np.array_equal(snapped.astype(np.float32).astype(np.float64), snapped)
    assert np.abs(snapped - levels.astype(np.float64)).max() <= max(0.02 * np.abs(levels).max(), 2.0**-149)


MASKS = {
    "one-hot": [0, 1, 2, 4],
    "thermometer": [0, 1, 3, 7],
    "binary": [0, 1, 2, 3, 4, 5, 6, 7],
}


@given(st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4), st.sampled_from(sorted(MASKS)), MOST)
def test_sums_are_on_one_grid_with_their_coefficients(coefficients, kind, most):
    coefficients, masks = np.array(coefficients, np.float32), np.array(MASKS[kind], np.uint8)
    bits = (masks.astype(int) >> np.arange(3)[:, None]) & 1
    grid = nearest_sums(coefficients, masks, most)
    sums = grid.integers[0] + grid.integers[1:] @ bits
    assert np.abs(grid.integers).max() <= most and np.abs(sums).max() <= most
    levels = coefficients[0].astype(np.float64) + coefficients[1:].astype(np.float64) @ bits
    top = max(np.abs(levels).max(), np.abs(coefficients).max())
    if most >= 15 and top > 1e-30:  # each coefficient within half a unit, with a unit of top / most at most
        assert np.abs(levels - grid.unit * sums).max() <= 4 * top / (most - 4)


def test_a_one_bit_weight_is_met_exactly():
    grid = nearest_sums(np.float32([-0.37, 0.74]), np.array([0, 1], np.uint8), 127)
    assert grid.integers.tolist() == [-1, 2] and abs(grid.unit - 0.37) < 0.37 * 2.0**-UNIT_BITS


TEXTS = [("15,31", (15, 31)), ("none", None), ("default", "default"), ("127,255", (127, 255))]


@pytest.mark.parametrize(("text", "grid"), TEXTS)
def test_the_command_line_says_a_grid(text, grid):
    assert parse_grid(text) == grid == checked_grid(grid)


@pytest.mark.parametrize("text", ["", "15", "15,31,2", "a,b", "0,31", "15,256", "128,31", "1.5,3", "None"])
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="--grid: expected the largest integers A,B"):
        parse_grid(text)


@pytest.mark.parametrize("grid", ["15,31", (15,), (15, 31.0), (True, 31), 15, (0, 0), [15, 300]])
def test_other_grids_are_refused(grid):
    with pytest.raises(UsageError, match="grid: expected 'default', None, or the largest integers"):
        checked_grid(grid)

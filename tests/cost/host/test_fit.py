"""Rates from times: exact where the times are, bounded where they are noisy, never negative."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paconv.cost.host.fit import fit_rates, median_error, seconds


def random_works(rng: np.random.Generator, measurements: int, units: int) -> list[dict[str, float]]:
    return [{f"u{j}": float(x) for j, x in enumerate(rng.uniform(1, 1e6, units))} for _ in range(measurements)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_rates_are_recovered_from_exact_times(seed, units):
    rng = np.random.default_rng(seed)
    works = random_works(rng, 3 * units, units)
    rates = {f"u{j}": float(x) for j, x in enumerate(10 ** rng.uniform(-12, -8, units))}
    times = [seconds(work, rates) for work in works]
    found = fit_rates(works, times)
    # Every prediction is right to rounding, even where rates nearly stand in for one another.
    assert median_error(works, times, found) < 1e-6


def test_well_separated_rates_are_recovered_exactly_and_a_useless_unit_has_rate_0():
    works = [{"a": 1.0, "b": 1e3}, {"a": 100.0, "b": 1.0}, {"a": 1.0, "b": 1.0, "c": 10.0}, {"a": 2.0, "c": 1.0}]
    rates = {"a": 3e-6, "b": 2e-9, "c": 0.0}
    found = fit_rates(works, [seconds(work, rates) for work in works])
    assert found == pytest.approx(rates, rel=1e-9, abs=1e-18)


def test_a_rate_that_least_squares_would_make_negative_is_0_and_the_others_fit_without_it():
    works = [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 4.0}, {"a": 3.0, "b": 9.0}]
    times = [1.0, 1.9, 2.7]  # concave: b's rate would be below 0
    found = fit_rates(works, times)
    assert found["b"] == 0
    a = np.array([1.0, 2.0, 3.0]) / times
    assert found["a"] == pytest.approx(a.sum() / (a @ a))


def test_noise_of_five_percent_moves_predictions_by_no_more():
    rng = np.random.default_rng(0)
    works = random_works(rng, 40, 3)
    rates = {"u0": 1e-9, "u1": 2e-9, "u2": 5e-10}
    times = [seconds(work, rates) * rng.uniform(1, 1.05) for work in works]
    found = fit_rates(works, times)
    exact = [seconds(work, rates) for work in works]
    assert all(0.95 < seconds(w, found) / t < 1.1 for w, t in zip(works, exact, strict=True))


def test_a_known_part_is_taken_as_given():
    works = [{"a": 1.0}, {"a": 5.0}]
    assert fit_rates(works, [3.0, 7.0], known=[2.0, 2.0]) == pytest.approx({"a": 1.0})

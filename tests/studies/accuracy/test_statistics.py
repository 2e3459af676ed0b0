"""Figures over seeds, by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from paconv.studies.accuracy.statistics import difference, figures, sampling_error


def test_mean_and_spread_are_those_of_the_seeds_that_gave_a_result():
    found = figures([0.5, None, 0.75, 1.0])
    assert (found.mean, found.spread, found.count) == (0.75, 0.25, 3)
    single = figures([0.5])
    assert (single.mean, single.spread, single.count) == (0.5, None, 1)
    assert figures([None, None]) is None


def test_a_difference_is_paired_by_the_seed():
    """Whatever both have in common drops out: here 10, 20 and 30. t of two degrees of freedom has a closed form,
    (2p - 1) / sqrt(2p (1 - p)), at p = 97.5 % 0.95 / sqrt(0.04875) = 4.30265...
    """
    found = difference([10.5, 20.75, 31.0, None], [10.0, 20.0, 30.0, 5.0])
    assert (found.mean, found.spread, found.count, found.higher, found.lower) == (0.75, 0.25, 3, 3, 0)
    assert abs(found.half_width - 0.95 / sqrt(0.04875) * 0.25 / sqrt(3)) < 2**-40  # scipy's t; a few ulp, 2^-52 each
    assert found.shown


def test_an_order_is_shown_only_if_the_interval_leaves_0_out():
    assert not difference([1.0, 2.0, 3.0], [0.5, 2.25, 2.5]).shown
    assert difference([0.0, 0.0], [1.0, 1.0]).shown
    assert not difference([1.0], [0.0]).shown
    assert difference([None], [0.0]) is None
    assert difference([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]).lower == 1


def test_samples_that_are_few_tell_an_accuracy_roughly():
    assert sampling_error(0.5, 100) == 0.05
    assert sampling_error(1.0, 100) == 0
    with pytest.raises(ZeroDivisionError):
        sampling_error(0.5, 0)

"""The largest difference, and its share of the largest output."""

import numpy as np

from paconv.bench.output_error import OutputError, output_error


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_share_is_of_the_largest_output_not_of_the_one_that_differs():
    assert output_error([array(1, -8)], [array(3, -8)]) == OutputError(2.0, 0.25)
    assert str(OutputError(2.0, 0.25)) == "2 (25.0%)"
    assert OutputError(2.0, 0.25).as_data() == {"largest": 2.0, "relative": 0.25}


def test_of_several_outputs_the_one_with_the_largest_share_counts():
    assert output_error([array(100), array(1)], [array(110), array(0.5)]) == OutputError(0.5, 0.5)


def test_equal_outputs_have_no_error_and_others_than_zeros_an_infinite_share():
    assert output_error([array(0, 0)], [array(0, 0)]) == OutputError(0.0, 0.0)
    assert output_error([array(0, 0)], [array(0, 1)]) == OutputError(1.0, float("inf"))


def test_outputs_that_cannot_be_set_beside_each_other_have_none():
    for want, got in (([], []), ([array(1)], [array(1), array(1)]), ([array(1)], [array(1, 2)]),
                      ([array(1)], [np.array([1])]), ([array()], [array()])):  # fmt: skip
        assert output_error(want, got) is None

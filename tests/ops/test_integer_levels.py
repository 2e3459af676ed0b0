"""Which levels are integers with sums of 32 bits, and the reference's exact results for them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv.ops.integer_levels import SUM_LIMIT, integer_levels
from paconv.reference import convolve_levels, integer_sums, pa_bit_conv
from tests.bit_conv_cases import cases, make_case, with_integer_levels
from tests.effort import examples


def of(case, **inputs):
    return integer_levels(case.attributes, case.inputs | {n: np.float32(a) for n, a in inputs.items()})


CASE = make_case(np.random.default_rng(0), M=2, N=2, channels=8, weight_coding="binary", level_coding="binary")
W = [[-127, 127, 127]]


@pytest.mark.parametrize(
    "alpha, beta, are",
    [
        ([[0, 1, 2]], [0, 1, 2], True),
        (W, [0, 127, 128], True),
        (W, [-127, 127, 127], True),
        ([[0, 1, 2.5]], [0, 1, 2], False),
        ([[0, 1, 2]], [0, 0.5, 1], False),
        ([[0, 64, 64]], [0, 1, 2], False),
        ([[0, -64, -64]], [0, 1, 2], False),
        (W, [0, 128, 128], False),
        (W, [-128, 127, 127], False),
        (W, [-1, 127, 128], False),
        ([[np.inf, 1, 2]], [0, 1, 2], False),
        ([[np.nan, 1, 2]], [0, 1, 2], False),
    ],
)
def test_levels_are_integers_up_to_one_byte_a_side(alpha, beta, are):
    found = of(CASE, alpha=alpha, beta=beta)
    assert (found is not None) == are
    if are:
        offset, first, second = beta
        assert found.activations.tolist() == [offset, offset + first, offset + second, offset + first + second]


def test_the_sum_of_a_window_fits_32_bits_by_the_weights_that_there_are():
    case = make_case(np.random.default_rng(0), M=1, N=1, channels=1, out=1, kernel=(1, 1), pads=(0, 0, 0, 0))
    products = SUM_LIMIT // (127 * 255)
    for channels, are in ((products, True), (products + 1, False)):
        attributes = case.attributes | {"weight_shape": [1, channels, 1, 1]}
        inputs = {"alpha": np.float32([[0, -127]]), "beta": np.float32([0, 255])}
        ones = np.full((1, -(-channels // 8)), 255, np.uint8)
        assert (integer_levels(attributes, inputs | {"W": ones}) is not None) == are
        assert integer_levels(attributes, inputs | {"W": ones * np.uint8(0)}) is not None


def test_codes_without_a_mask_are_no_integers():
    case = replace(CASE, attributes=CASE.attributes | {"weight_masks": [0, 1, 2]})
    assert of(case, alpha=[[0, 1, 2]], beta=[0, 1, 2]) is None


@settings(max_examples=examples(30), deadline=None, derandomize=True)
@given(case=cases(max_planes=4), seed=st.integers(0, 999))
def test_exact_sums_are_those_of_the_planes_and_are_rounded_twice(case, seed):
    case = with_integer_levels(case, np.random.default_rng(seed))
    inputs = case.inputs | {"scale": np.ones_like(case.inputs["scale"]), "bias": np.zeros_like(case.inputs["bias"])}
    result = pa_bit_conv(case.X, attributes=case.attributes, inputs=inputs)
    sums = integer_sums(result.levels, integer_levels(case.attributes, inputs), case.attributes)
    assert sums.dtype == np.int64 and np.array_equal(sums, result.Y) and np.array_equal(result.exact, result.Y)
    exact = convolve_levels(result.levels, attributes=case.attributes, inputs=case.inputs).exact
    for o, (scale, bias) in enumerate(zip(case.inputs["scale"], case.inputs["bias"], strict=True)):
        assert exact.dtype == np.float32
        assert np.array_equal(exact[:, o], (sums[:, o].astype(np.float32) * scale) + bias)


def test_real_levels_have_no_exact_result():
    case = make_case(np.random.default_rng(0))
    assert pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs).exact is None

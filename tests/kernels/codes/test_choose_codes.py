"""Level codes: the smallest integers times units, found from alpha and beta alone, exactly and alike on every CPU."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv.bits import binary_masks, one_hot_masks
from paconv.grid import nearest_grid
from paconv.kernels.arguments import CODING, CODING_SLOTS, F
from paconv.runtime.library import runnable_cpus
from tests.bit_conv_cases import largest_unit
from tests.effort import examples
from tests.kernels.linked import kernel

TINY = np.float32(2.0**-149)
"""The smallest float32 above 0."""


@dataclass(frozen=True)
class Coding:
    """What prepare_coding makes: `slots` by CODING's names, the units of alpha's rows, the integers, the bytes."""

    slots: dict[str, float]
    rows: np.ndarray
    alpha_k: np.ndarray
    beta_l: np.ndarray
    level_codes: np.ndarray

    @property
    def on_grid(self) -> bool:
        return self.slots["on_grid"] == 1


def coding_of(alpha, beta, weight_masks=None, level_masks=None, signed=False, cpu=None) -> Coding:
    alpha, beta = np.atleast_2d(np.asarray(alpha, np.float32)), np.asarray(beta, np.float32)
    M, N = alpha.shape[1] - 1, len(beta) - 1
    weight_masks = np.array(one_hot_masks(M) if weight_masks is None else weight_masks, np.uint8)
    level_masks = np.array(one_hot_masks(N) if level_masks is None else level_masks, np.uint8)
    coding, alpha_k, beta_l = np.zeros(CODING.rows + len(alpha)), np.zeros_like(alpha), np.zeros_like(beta)
    level_codes, arguments = np.zeros(len(level_masks), np.uint8), np.zeros(F.count, np.int64)
    fields = dict(
        M=M, N=N, E=len(level_masks) - 1, alpha_rows=len(alpha), weight_codes=len(weight_masks), alpha=alpha, beta=beta,
        weight_masks=weight_masks, level_masks=level_masks, coding=coding, alpha_k=alpha_k, beta_l=beta_l,
        level_codes=level_codes, signed_codes=int(signed),
    )  # fmt: skip
    for name, value in fields.items():
        arguments[getattr(F, name)] = value.ctypes.data if isinstance(value, np.ndarray) else value
    kernel(cpu or runnable_cpus()[0], "prepare_coding")(arguments.ctypes.data, 0)
    slots = {name: coding[slot] for slot, name in enumerate(CODING_SLOTS) if name != "rows"}
    return Coding(slots, coding[CODING.rows :], alpha_k, beta_l, level_codes)


def test_the_integers_are_the_smallest_that_give_the_levels():
    found = coding_of([0, *np.float32([-125, -50, 50, 125]) * np.float32(0.0625)], [0, 0.75, 1.5, 2.25])
    assert (found.alpha_k == [[0, -5, -2, 2, 5]]).all() and found.rows == 25 / 16
    assert (found.beta_l == [0, 1, 2, 3]).all() and found.slots["unit"] == 0.75
    assert (found.level_codes == [0, 1, 2, 3]).all() and found.on_grid
    assert (found.slots["most_weight"], found.slots["most_level"]) == (5, 3)


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(
    M=st.integers(1, 8),
    N=st.integers(1, 8),
    rows=st.sampled_from([1, 3]),
    exponents=st.tuples(st.integers(-140, 100), st.integers(-140, 100)),
    most=st.sampled_from([1, 7, 127, 255, 4095]),
    seed=st.integers(0, 2**32 - 1),
)
def test_units_are_greatest_common_divisors_at_any_magnitude(M, N, rows, exponents, most, seed):
    """Integers of 12 bits times 12 bits and a power of two: float32 numbers exactly, but where they fall below it."""
    rng = np.random.default_rng(seed)

    def levels(shape, exponent):
        return (rng.integers(-most, most + 1, shape) * rng.integers(1, 4096) * 2.0**exponent).astype(np.float32)

    alpha, beta = levels((rows, M + 1), exponents[0]), levels(N + 1, exponents[1])
    alpha[:, 0] = beta[0] = 0
    found, units = coding_of(alpha, beta), [largest_unit(row) for row in alpha]
    k, l = alpha / np.float64(units)[:, None], beta / largest_unit(beta)
    grid = np.abs(k).max() <= 127 and l.min() >= -127 and l.max() <= (255 if l.min() >= 0 else 127)
    assert found.on_grid == grid
    if grid:
        assert (found.alpha_k == k).all() and (found.beta_l == l).all()
        assert (found.rows == units).all() and found.slots["unit"] == largest_unit(beta)
        zero = 128 if l.min() < 0 else 0
        assert (found.level_codes == l + zero).all() and found.slots["zero"] == zero
        assert (found.slots["least"], found.slots["largest"]) == (min(l.min(), 0) + zero, max(l.max(), 0) + zero)
        assert found.slots["most_weight"] == np.abs(k).max() and found.slots["most_level"] == np.abs(l).max()
    else:
        assert (found.alpha_k == alpha).all() and (found.beta_l == beta).all()


def test_subnormal_levels_have_a_unit():
    found = coding_of([0, 3 * TINY, -6 * TINY], [0, 4 * TINY, 5 * TINY])
    assert found.on_grid and (found.alpha_k == [[0, 1, -2]]).all() and (found.beta_l == [0, 4, 5]).all()
    assert Fraction(found.rows[0]) == 3 * Fraction(float(TINY)) and found.slots["unit"] == float(TINY)
    assert not coding_of([0, 1], [0, 5 * TINY, 2.0**-126]).on_grid  # 2**23 units


def test_levels_of_zero_are_on_any_grid():
    for alpha, beta in (([0, 0, -0.0], [0, 0.5]), ([0, 0.5], [0, -0.0]), ([0, 0], [0, 0])):
        found = coding_of(alpha, beta)
        assert found.on_grid
        assert (found.alpha_k == np.sign(alpha)).all() and (found.beta_l == np.sign(beta)).all()
        assert not np.signbit(found.alpha_k).any() and not np.signbit(found.beta_l).any()
        assert found.rows == (0.5 if any(alpha) else 1) and found.slots["unit"] == (0.5 if any(beta) else 1)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("rest", [0, 1, 2.0**-120])
def test_infinities_and_nan_are_on_no_grid_and_stay_as_they_are(bad, rest):
    for alpha, beta in (([[0, 1, 2], [0, bad, rest]], [0, 1]), ([[0, 1, 2]], [0, rest, bad])):
        found = coding_of(alpha, beta)
        assert not found.on_grid and (found.rows == 1).all() and found.slots["unit"] == 1
        assert np.array_equal(found.alpha_k, np.float32(alpha), equal_nan=True)
        assert np.array_equal(found.beta_l, np.float32(beta), equal_nan=True)


@pytest.mark.parametrize("apart", [6, 7, 8, 30, 38, 39, 62, 63, 64, 200])
def test_levels_of_exponents_far_apart_are_on_no_grid(apart):
    small = 2.0**-100
    found = coding_of([0, small, small * 2.0**apart], [0, 1])
    assert found.on_grid == (2**apart <= 127)
    assert (found.alpha_k == ([0, 1, 2**apart] if found.on_grid else np.float32([0, small, small * 2.0**apart]))).all()


def test_real_levels_are_on_no_grid_and_stay_as_they_are():
    rng = np.random.default_rng(0)
    alpha, beta = rng.standard_normal((5, 9)).astype(np.float32), rng.standard_normal(8).astype(np.float32)
    found = coding_of(alpha, beta)
    assert not found.on_grid and (found.rows == 1).all() and found.slots["unit"] == 1
    assert (found.alpha_k == alpha).all() and (found.beta_l == beta).all()


def test_one_row_of_weights_off_the_grid_takes_all_of_them_off():
    alpha = np.float32([[0, 0.5, 1], [0, 0.3, 1]])
    found = coding_of(alpha, [0, 1])
    assert not found.on_grid and (found.alpha_k == alpha).all() and (found.rows == 1).all()


@pytest.mark.parametrize(
    ("beta", "signed", "zero", "codes"),
    [
        ([0, 1, 255], False, 0, [0, 1, 255]),
        ([0, -127, 126], False, 128, [128, 1, 254]),
        ([0, 1, 127], True, 0, [0, 1, 127]),
        ([0, -127, 126], True, 0, [0, 129, 126]),
        ([0, 1, 255], True, -128, [128, 129, 127]),
    ],
)
def test_bytes_are_signed_or_unsigned_as_the_products_take_them(beta, signed, zero, codes):
    found = coding_of([0, 1], beta, signed=signed)
    assert found.on_grid and found.slots["zero"] == zero
    assert (found.level_codes == codes).all()
    assert (found.slots["least"], found.slots["largest"]) == (min(beta) + zero, max(beta) + zero)


@pytest.mark.parametrize("beyond", [([0, 1, 128], [0, 1]), ([0, 1, -128], [0, 1]), ([0, 1], [0, 1, 256]),
                                    ([0, 1], [0, -1, 128]), ([0, 1], [0, 1, -128])])  # fmt: skip
def test_integers_beyond_a_byte_are_on_no_grid(beyond):
    assert not coding_of(*beyond).on_grid


def test_the_integers_of_binary_planes_are_bounded_as_sums():
    """Levels count, not coefficients: 63 of -63 + (1 + ... + 64), and 255 of 1 + ... + 128."""
    alpha, beta = [-63, *2.0 ** np.arange(7)], [0, *2.0 ** np.arange(8)]
    found = coding_of(alpha, beta, binary_masks(7), binary_masks(8))
    assert found.on_grid and (found.level_codes == np.arange(256)).all()
    assert (found.slots["most_weight"], found.slots["most_level"]) == (64, 255)
    assert found.slots["most_terms"] == (63 + 127) * 255  # planes add them up one by one
    assert not coding_of([-64, *2.0 ** np.arange(8)], beta, binary_masks(8), binary_masks(8)).on_grid


@given(seed=st.integers(0, 2**32 - 1), most=st.sampled_from([1, 7, 15, 31, 127]))
def test_a_grid_that_levels_were_put_on_is_found_again(seed, most):
    rng = np.random.default_rng(seed)
    grid = nearest_grid(rng.standard_normal(5).astype(np.float32), most)
    found = coding_of([0, *(grid.unit * grid.integers).astype(np.float32)], [0, 1])
    assert found.on_grid
    assert (found.rows * found.alpha_k[0, 1:] == grid.unit * grid.integers).all()
    assert np.abs(found.alpha_k).max() <= most


def test_every_level_makes_the_same_coding():
    rng = np.random.default_rng(0)
    for alpha in (rng.standard_normal((5, 9)), rng.integers(-127, 128, (5, 9)) * 0.375):
        beta = rng.integers(0, 256, 8)
        made = [coding_of(alpha, beta, cpu=cpu) for cpu in runnable_cpus()]
        parts = {(str(m.slots), *(a.tobytes() for a in (m.rows, m.alpha_k, m.beta_l, m.level_codes))) for m in made}
        assert len(parts) == 1

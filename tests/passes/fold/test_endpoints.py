"""Folded endpoints decide as the unfolded ones, at the floats beside each boundary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv.passes.fold.endpoints import fold_affine, narrowed
from tests.effort import examples

MAX = np.finfo(np.float32).max
TINY = np.float32(2.0**-149)

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
scales = st.one_of(
    floats32.map(float),
    st.sampled_from([0.0, -0.0, 2.0**-210, -(2.0**-210), 2.0**200, -(2.0**200), 1.0, -1.0, 1 / 3, -0.1]),
    st.floats(-4, 4),
)
offsets = st.one_of(floats32.map(float), st.sampled_from([0.0, 2.0**150, -(2.0**150)]), st.floats(-4, 4))
endpoints = st.lists(st.one_of(floats32, st.floats(-4, 4, width=32)), min_size=1, max_size=8).map(sorted)


def fold_narrowed(v, sign, s, b):
    folded, signs = fold_affine(v, sign, s, b)
    assert folded.dtype == np.float64
    return narrowed(folded), signs


def level_unfolded(x, v, s, b):
    """(..., C) float32 -> level by float64 decisions."""
    with np.errstate(invalid="ignore"):
        a = s * x.astype(np.float64) + b
    return (a[..., None] >= v).sum(-1)


def level_folded(x, v, sign):
    return ((sign.astype(np.float32) * x)[..., None] >= v).sum(-1)


def probes(folded, sign):
    """Every boundary, the floats on both sides of it, and special values: (P, C) float32."""
    at = (folded * sign[:, None].astype(np.float32)).T
    at = np.where(np.isfinite(at), at, 0).astype(np.float32)
    ones = np.ones_like(at[:1])
    special = [np.float32(x) * ones for x in (0.0, -0.0, TINY, -TINY, 1, -1, MAX, -MAX, np.nan)]
    with np.errstate(over="ignore"):
        beside = [np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(-np.inf))]
    return np.concatenate([at, *beside, *special])


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(v=endpoints, s=scales, b=offsets)
def test_folded_and_unfolded_levels_agree_beside_every_boundary(v, s, b):
    v, s, b = np.float32([v]), np.array([s]), np.array([b])
    folded, sign = fold_narrowed(v, np.int8([1]), s, b)
    x = probes(folded, sign)
    assert folded.dtype == np.float32 and sign.dtype == np.int8
    finite = np.isfinite(x[:, 0])
    assert (level_folded(x, folded, sign) == level_unfolded(x, v, s, b))[finite].all()
    assert level_folded(x, folded, sign)[~finite].sum() == 0  # NaN


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(v=endpoints, s=scales, b=offsets, first=st.sampled_from([2.0, -0.5, -3.0]))
def test_folding_into_endpoints_that_carry_a_sign_keeps_their_decisions(v, s, b, first):
    s, b, zero = np.array([s]), np.array([b]), np.zeros(1)
    inner, inner_sign = fold_narrowed(np.float32([v]), np.int8([1]), np.array([first]), zero)
    folded, sign = fold_narrowed(inner, inner_sign, s, b)
    x = probes(folded, sign)
    x = x[np.isfinite(x[:, 0])]
    with np.errstate(invalid="ignore"):
        a = s * x.astype(np.float64) + b
    assert (level_folded(x, folded, sign) == ((inner_sign * a)[..., None] >= inner).sum(-1)).all()


@settings(max_examples=examples(200), deadline=None, derandomize=True)
@given(v=endpoints, s=st.lists(scales, min_size=2, max_size=3), b=st.lists(offsets, min_size=3, max_size=3))
def test_a_chain_of_foldings_decides_as_the_chain_beside_every_boundary(v, s, b):
    folded, sign = np.float32([v]), np.int8([1])
    for slope, offset in zip(s[::-1], b[: len(s)][::-1], strict=True):
        folded, sign = fold_affine(folded, sign, np.array([slope]), np.array([offset]))
    folded = narrowed(folded)
    x = probes(folded, sign)
    x = x[np.isfinite(x[:, 0])]
    a = x.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        for slope, offset in zip(s, b, strict=False):
            a = slope * a + offset
    finite = np.isfinite(a[:, 0])
    assert (level_folded(x, folded, sign) == (a[..., None] >= np.float32([v])).sum(-1))[finite].all()


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(v=endpoints, s=st.lists(scales, min_size=2, max_size=5), b=offsets)
def test_rows_stay_ascending_with_nan_last_for_every_channel(v, s, b):
    folded, sign = fold_narrowed(np.float32([v]), np.int8([1]), np.array(s), np.array([b]))
    keyed = np.where(np.isnan(folded), np.inf, folded)
    assert (keyed[:, 1:] >= keyed[:, :-1]).all()
    assert not (np.isnan(folded[:, :-1]) & ~np.isnan(folded[:, 1:])).any()
    assert sign.shape in ((1,), (len(s),)) and set(sign.tolist()) <= {1, -1}


def fold(v, s, b):
    folded, sign = fold_narrowed(np.float32([v]), np.int8([1]), np.array([s]), np.array([b]))
    return folded[0].tolist(), sign.tolist()


def test_a_positive_scale_divides_the_endpoints():
    assert fold([1.5, 2, 3], 2.0, 1.0) == ([0.25, 0.5, 1], [1])


def test_a_negative_scale_turns_the_comparison_round():
    assert fold([1.5, 2, 3], -2.0, 1.0) == ([0.25, 0.5, 1], [-1])  # x <= -0.25, -0.5, -1


def test_a_zero_scale_leaves_a_constant_level():
    folded, sign = fold([1, 2, 3], 0.0, 2.0)
    assert folded[:2] == [-np.inf, -np.inf] and np.isnan(folded[2]) and sign == [1]


def test_boundaries_beyond_the_floats_become_infinite_or_the_lowest_float():
    assert fold([MAX], 0.5, 0.0) == ([np.inf], [1])
    assert fold([-MAX], 0.5, 0.0) == ([-MAX], [1])
    assert fold([1], 1.0, 2.0**150) == ([-MAX], [1])


def test_endpoints_at_infinity_and_nan_keep_their_meaning():
    folded, sign = fold([-np.inf, np.inf, np.nan], -3.0, 1.0)
    assert folded[:2] == [-np.inf, np.inf] and np.isnan(folded[2]) and sign == [-1]


def test_a_subnormal_boundary_is_found_exactly():
    assert fold([TINY], 1.0, 0.0) == ([TINY], [1])
    assert fold([TINY], -1.0, 0.0) == ([TINY], [-1])


@pytest.mark.parametrize("s, rows", [([2.0, 2.0], 1), ([2.0, 4.0], 2)])
def test_channels_that_agree_share_one_row(s, rows):
    folded, sign = fold_narrowed(np.float32([[1, 2]]), np.int8([1]), np.array(s), np.zeros(1))
    assert folded.shape == (rows, 2) and sign.shape == (1,)


def test_channels_of_both_directions_get_a_sign_each():
    folded, sign = fold_narrowed(np.float32([[1, 2]]), np.int8([1]), np.array([1.0, -1.0]), np.zeros(1))
    assert folded.tolist() == [[1, 2], [1, 2]] and sign.tolist() == [1, -1]

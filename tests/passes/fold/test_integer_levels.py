"""Levels that are integers times a unit become the smallest integers, their units part of the output scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paconv
from paconv.bits import level_table
from paconv.grid import integers_of, nearest_grid
from paconv.ops.integer_levels import integer_levels
from paconv.passes.fold.fold_after import FOLD_AFTER
from paconv.passes.fold.integer_levels import INTEGER_LEVELS
from paconv.passes.lower.lower_conv import LOWER_CONV
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from paconv.reference import pa_bit_conv
from tests.effort import examples
from tests.passes.graphs import apply, batch_norm, image, model, ops, parameter, run
from tests.passes.lower.test_general_planes import activation_inputs, conv_model, weight_inputs

PASSES = (LOWER_CONV, REMOVE_DEAD, INTEGER_LEVELS, FOLD_AFTER, REMOVE_DEAD, INTEGER_LEVELS)
NAMES = ["W", "alpha", "v", "sign", "beta", "scale", "bias"]
V = np.float32([0.25, 0.5, 1.0])


def pa_model(levels, alpha, body="y = Conv <pads = [1, 1, 1, 1]> (q, W_bar)", **constants):
    W = np.random.default_rng(0).standard_normal((4, 4, 3, 3)).astype(np.float32)
    text = "q = paconv.PAActivation (x, v, levels) W_bar = paconv.PAWeight (W, u, alpha) [conv] " + body
    return model(
        f"g (float[b,4,h,w] x) => (float[b,4,h,w] y) {{ {text} }}",
        v=V, levels=np.float32(levels), W=W, u=np.float32([-1, -0.5, 0.5, 1]), alpha=np.float32(alpha), **constants,
    )  # fmt: skip


def unified(reference, label="conv"):
    """The parameters of the only PABitConv by name, and its attributes' integers."""
    lowered, _ = apply(PASSES, reference)
    assert ops(lowered) == ["PABitConv"]
    found = {name: parameter(lowered, label, name) for name in NAMES}
    assert all(found[name].dtype == np.float32 for name in ("alpha", "beta", "scale", "bias"))
    return lowered, found


def test_levels_on_two_grids_become_integers_and_one_scale():
    _, found = unified(pa_model([0, 0.3, 0.6, 1.5], [-1.25, -0.5, 0, 0.75, 1.25]))
    assert found["alpha"].tolist() == [[0, -5, -2, 3, 5]] and found["beta"].tolist() == [0, 1, 2, 5]
    assert (found["scale"] == np.float32(0.25 * float(np.float32(0.3)))).all()
    assert not found["bias"].any()


def test_units_and_a_batch_norm_are_rounded_once_together():
    norm = batch_norm("n", [1 / 3, 0.1, 7, 1e-3], [1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], [0.7, 1.1, 1.3, 1.7])
    body = (
        "c = Conv <pads = [1, 1, 1, 1]> (q, W_bar)"
        " y = BatchNormalization <epsilon = 0.0> (c, n_gamma, n_beta, n_mean, n_var)"
    )
    thirds = np.float32([0, 1, 2, 7]) / np.float32(3)
    _, found = unified(pa_model(thirds, [-0.5, -0.25, 0, 0.25, 0.5], body, **norm))
    assert found["beta"].tolist() == [0, 1, 2, 7]
    gamma, var = (norm[f"n_{name}"].astype(np.float64) for name in ("gamma", "var"))
    unit = integers_of(thirds, 255).unit
    assert np.float32(unit) == np.float32(1 / 3)
    assert np.array_equal(found["scale"], (unit * 0.25 * gamma / np.sqrt(var)).astype(np.float32))


def test_a_scale_of_each_filter_goes_to_the_output_scale_and_one_row_is_left():
    scales = np.float32([0.11, 0.22, 0.3, 0.47, 0.05, 1.9])
    weight = weight_inputs([[0]] * 6, np.stack([-scales, 2 * scales], 1), [[0, 1]])
    _, found = unified(conv_model(**weight), "layer")
    assert found["alpha"].tolist() == [[-1, 2]] and found["beta"].tolist() == [-1, 2]
    assert np.array_equal(found["scale"], scales)


def test_a_filter_of_zeros_has_the_scale_0_and_the_integers_of_the_others():
    scales = np.float32([0.11, 0.22, 0, 0.47, 0.05, 1.9])
    _, found = unified(conv_model(**weight_inputs([[0]] * 6, np.stack([-scales, 2 * scales], 1), [[0, 1]])), "layer")
    assert found["alpha"].tolist() == [[-1, 2]] and np.array_equal(found["scale"], scales)


def test_filters_of_different_integers_keep_their_rows():
    rows = np.float32([[0, 0.1, 0.3], [0, 0.2, 0.3], [0, 1, 1]] * 2)
    _, found = unified(conv_model(**weight_inputs([[-1, 1]] * 6, rows, [[2, 0, 1]] * 6)), "layer")
    assert found["alpha"].tolist() == [[0, 1, 3], [0, 2, 3], [0, 1, 1]] * 2
    assert np.array_equal(found["scale"], np.float32([0.1, 0.1, 1] * 2))


@pytest.mark.parametrize(
    "levels, alpha",
    [
        ([0, 0.3, 0.6, 1.5], [-1.2345678, -0.5, 0, 0.75, 1.25]),
        ([0, 0.3, 0.61234567, 1.5], [-1.25, -0.5, 0, 0.75, 1.25]),
        ([0, 1, 2, 256], [-1, -1, 0, 1, 1]),
        ([0, 1, 2, 3], [-128, -1, 0, 1, 1]),
        ([0, -1, 1, 128], [-1, -1, 0, 1, 1]),
        ([0, 1e-30, 2e-30, 3e-30], [-1e-30, -1e-30, 0, 1e-30, 1e-30]),  # a scale that float32 hasn't
    ],
)
def test_levels_off_any_grid_stay_real(levels, alpha):
    lowered, result = apply((LOWER_CONV, REMOVE_DEAD, INTEGER_LEVELS), pa_model(levels, alpha))
    assert result.rewritten == []
    assert parameter(lowered, "conv", "beta").tolist() == np.float32(levels).tolist()
    assert sorted(parameter(lowered, "conv", "alpha")[0].tolist()) == np.float32(alpha).tolist()
    assert (parameter(lowered, "conv", "scale") == 1).all()


def test_levels_whose_planes_are_off_their_grid_stay_real():
    never_apart = [21 / 128, 21 / 128, 19 / 64]  # 5/8 together, but not 1 + 1 + 2 eighths
    weight = weight_inputs([[-1, 0, 1]], [[*never_apart, 0.75, 1]], [[3, 11, 7, 15]])
    assert level_table(weight["alpha"], weight["wm"]).tolist() == [[0.625, 1.625, 1.375, 2.375]]
    _, result = apply((LOWER_CONV, REMOVE_DEAD, INTEGER_LEVELS), conv_model(**weight))
    assert result.rewritten == []


def test_a_scale_that_holds_something_already_is_left_alone():
    plain, _ = apply((LOWER_CONV, REMOVE_DEAD), pa_model([0, 0.5, 1, 1.5], [-1.5, -0.5, 0, 0.5, 1.5]))
    stored = next(i for i in plain.graph.initializer if i.name == plain.graph.node[0].input[6])
    stored.raw_data = np.float32([1, 1, 2, 1]).tobytes()
    _, result = apply(INTEGER_LEVELS, plain)
    assert result.rewritten == []


def test_integers_that_are_the_smallest_already_change_nothing():
    _, result = apply((LOWER_CONV, REMOVE_DEAD, INTEGER_LEVELS), pa_model([0, 1, 2, 3], [-3, -1, 0, 1, 2]))
    assert result.rewritten == []


@settings(max_examples=examples(40), deadline=None, derandomize=True)
@given(seed=st.integers(0, 9999), M=st.integers(1, 4), N=st.integers(1, 4), rows=st.sampled_from([1, 6]))
def test_any_levels_put_on_a_grid_become_integers_with_the_bits_of_the_reference(seed, M, N, rows):
    """In stock onnxruntime, and the exact values are those of the exported model within their roundings."""
    rng = np.random.default_rng(seed)
    u, v = np.sort(rng.standard_normal((rows, (1 << M) - 1)), 1), np.sort(rng.standard_normal((1 << N) - 1))
    wm, lm = np.stack([rng.permutation(1 << M) for _ in range(rows)]), rng.permutation(1 << N)
    alpha = np.stack([on_grid(rng.standard_normal(M + 1), 127 // (M + 1)) for _ in range(rows)])
    beta = on_grid(np.abs(rng.standard_normal(N + 1)), 255 // (N + 1))
    reference = conv_model(seed, **weight_inputs(u, alpha, wm), **activation_inputs(v, beta, lm))
    x = image(rng, 2, 4, 5, 6)
    packed = paconv.optimize(reference, fuse=False).model
    (node,) = packed.graph.node
    inputs = {name: parameter(packed, node.name, name) for name in NAMES}
    attributes = {a.name: list(a.ints) or a.i for a in node.attribute}
    integers = integer_levels(attributes, inputs)
    assert integers is not None
    assert np.gcd.reduce(np.abs(integers.activations).astype(int)) in (0, 1)
    found = run(packed, x=x)[0]
    expected = pa_bit_conv(x, attributes=attributes, inputs=inputs)
    assert np.array_equal(found, expected.exact)
    # scale, level and product: 4 roundings of a term; the reference adds 36 terms
    bound = 41 * 2.0**-24 * 36 * np.abs(level_table(alpha, wm)).max() * level_table(beta, lm).max()
    assert (np.abs(found - run(reference, x=x)[0]) <= bound).all()


def on_grid(values, most):
    grid = nearest_grid(values, most)
    return (grid.unit * grid.integers).astype(np.float32)

"""Step functions with planes of their own: offsets, rows for output channels, any masks, up to 255 endpoints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paconv
from paconv.bits import binary_masks, level_table, unpack_codes
from paconv.passes.lower.lower_conv import LOWER_CONV
from paconv.passes.lower.lower_weights import LOWER_WEIGHTS
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from tests.effort import examples
from tests.passes.graphs import apply, image, model, ops, parameter, run, weights

LOWER = (LOWER_CONV, REMOVE_DEAD, LOWER_CONV)
SHAPE = (6, 4, 3, 3)


def rows5(values: np.ndarray) -> np.ndarray:
    """(R, n) -> (R, 1, 1, 1, n), as PAWeight takes rows."""
    return np.float32(values)[:, None, None, None]


def weight_inputs(u, alpha, masks, levels=None):
    alpha, masks = np.float32(alpha), np.uint8(masks)
    levels = level_table(alpha, masks) if levels is None else levels
    return {"u": rows5(np.float32(u)), "c": rows5(levels), "alpha": alpha, "wm": masks}


def activation_inputs(v, beta, masks, levels=None):
    beta, masks = np.float32(beta), np.uint8(masks)
    levels = level_table(beta, masks) if levels is None else levels
    return {"v": np.float32(v), "levels": levels, "beta": beta, "lm": masks}


BINARY = weight_inputs([[0]], [[-0.5, 1]], [[0, 1]])
SIGN = activation_inputs([0], [-1, 2], [0, 1])


def conv_model(seed=3, x="x", **inputs):
    rng = np.random.default_rng(seed)
    constants = {"W": weights(rng, *SHAPE), **BINARY, **SIGN, **inputs}
    quantized = "q = paconv.PAActivation(x, v, levels, beta, lm)" if x == "x" else "q = Relu(x)"
    return model(
        f"g (float[b,4,h,w] x) => (float[b,6,oh,ow] y) {{ {quantized}"
        " W_bar = paconv.PAWeight(W, u, c, alpha, wm)"
        ' ["layer"] y = Conv <pads = [1, 1, 1, 1]> (q, W_bar) }',
        **constants,
    )


def both(reference, passes=LOWER, form="PABitConv"):
    lowered, result = apply(passes, reference)
    assert form in ops(lowered), result.skipped
    x = image(np.random.default_rng(1), 2, 4, 7, 6)
    (expected,), (found,) = run(reference, x=x), run(lowered, x=x)
    assert np.array_equal(expected, found)
    verified = paconv.verify(reference, lowered, {"x": x})
    assert verified.ok, verified.first_difference
    return lowered


WEIGHTS = {
    "one bit with a scale for each filter": weight_inputs(
        [[0]], np.stack([-np.arange(1, 7) / 8, np.arange(1, 7) / 4], 1), [[0, 1]]
    ),
    "two bits in binary digits": weight_inputs([[-1, 0, 1]], [[-1.5, 1, 2]], [[0, 1, 2, 3]]),
    "endpoints and planes of their own for each filter": weight_inputs(
        [[-1, 0, 1], [-0.5, 0.25, 0.75]] * 3, [[-1.5, 1, 2], [0, -0.5, 1.25]] * 3, [[0, 1, 2, 3], [1, 0, 3, 2]] * 3
    ),
    "nested bases": weight_inputs([[-1, 0, 1]], [[-1.75, 0.5, 1, 2]], [[0, 4, 6, 7]]),
    "two pieces of one value": weight_inputs([[-1, 0, 1]], [[0, 0.5, 2]], [[2, 0, 0, 1]]),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_any_planes_are_packed_exactly(name):
    both(conv_model(**WEIGHTS[name]))
    both(conv_model(x="real", **WEIGHTS[name]), (LOWER_WEIGHTS,), "PAUnpackWeight")


ACTIVATIONS = {
    "four bits": activation_inputs(np.arange(1, 16) / 8 - 0.0625, [0, 0.125, 0.25, 0.5, 1], binary_masks(4)),
    "eight bits": activation_inputs(
        np.arange(1, 256) / 128 - 0.00390625, [0, *(2.0 ** np.arange(-7, 1))], binary_masks(8)
    ),
    "nested bases with an offset": activation_inputs([-0.5, 0.25, 1], [-1.75, 0.5, 1, 2], [0, 4, 6, 7]),
    "levels that fall": activation_inputs([0.5, 1], [0.5, 0.25, 1], [3, 2, 0]),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_any_planes_are_lowered_exactly(name):
    both(conv_model(**ACTIVATIONS[name]))


def test_codes_are_the_ranks_of_the_masks_that_occur():
    lowered = both(conv_model(**weight_inputs([[-1, 0, 1]], [[-1.75, 0.5, 1, 2]], [[0, 4, 6, 7]])))
    (node,) = lowered.graph.node
    masks = next(list(a.ints) for a in node.attribute if a.name == "weight_masks")
    codes = unpack_codes(parameter(lowered, "layer", "W"), 216)
    assert masks == [0, 4, 6, 7] and codes.max() == 3 and parameter(lowered, "layer", "W").shape[0] == 2


@settings(max_examples=examples(25), deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), M=st.integers(1, 8), N=st.integers(1, 8), rows=st.sampled_from([1, 6]))
def test_random_step_functions_of_planes_are_lowered_exactly(seed, M, N, rows):
    """On a grid where float32 sums are exact, so that both graphs give equal bits."""
    rng = np.random.default_rng(seed)
    E, F = rng.integers(1, 9), rng.integers(1, 40)
    weight = weight_inputs(
        np.sort(rng.integers(-16, 17, (rows, E)) / 8, 1), rng.integers(-8, 9, (rows, M + 1)) / 8,
        rng.integers(0, 1 << M, (rows, E + 1)),
    )  # fmt: skip
    activation = activation_inputs(
        np.sort(rng.integers(-16, 17, F) / 8), rng.integers(-8, 9, N + 1) / 8, rng.integers(0, 1 << N, F + 1)
    )
    reference = conv_model(seed, **weight, **activation)
    lowered, _ = apply(LOWER, reference)
    x = image(rng, 1, 4, 5, 6)
    assert ops(lowered) == ["PABitConv"]
    assert np.array_equal(run(reference, x=x)[0], run(lowered, x=x)[0])


def off_by_one_ulp(values):
    values = np.array(values)
    values[..., -1] = np.nextafter(values[..., -1], np.float32(np.inf))
    return values


REFUSALS = {
    "levels-not-of-planes": [
        weight_inputs([[0]], [[-0.5, 1]], [[0, 1]], off_by_one_ulp(np.float32([[-0.5, 0.5]]))),
        activation_inputs([0], [-1, 2], [0, 1], off_by_one_ulp(np.float32([-1, 1]))),
    ],
    "malformed-weight-levels": [
        {"alpha": np.float32([-0.5, 1])},
        {"wm": np.uint8([[0, 1, 1]])},
        {"wm": np.uint8([[0, 2]])},
        {"wm": np.int32([[0, 1]])},
        {"alpha": np.float32([[-0.5, np.inf]])},
        {"u": rows5(np.zeros((1, 2)))},
    ],
    "more-than-8-weight-planes": [weight_inputs([[0]], [[0, *[1] * 9]], [[0, 1]])],
    "malformed-activation-levels": [
        {"lm": np.uint8([0, 2])},
        {"lm": np.uint8([0, 1, 1])},
        {"beta": np.float32([[-1, 2]])},
        {"beta": np.float32([-1, np.nan])},
    ],
    "more-than-8-planes": [
        activation_inputs([0], [0, *[1] * 9], [0, 1]),
        activation_inputs(np.arange(256), [0, 1], [0] * 256 + [1]),
    ],
}


@pytest.mark.parametrize("reason, inputs", [(reason, case) for reason, cases in REFUSALS.items() for case in cases])
def test_planes_that_do_not_make_the_levels_are_left_alone_with_a_reason(reason, inputs):
    reference = conv_model(**inputs)
    lowered, result = apply(LOWER_CONV, reference)
    assert [(s.reason, s.node) for s in result.skipped] == [(reason, "layer")]
    assert lowered == reference

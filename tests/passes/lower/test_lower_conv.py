"""Conv of a PAActivation and a PAWeight becomes PABitConv, with equal results in stock onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from paconv.bits import unpack_codes
from paconv.ops.pa_bit_conv import PA_BIT_CONV, check_parameters
from paconv.passes.lower.lower_conv import LOWER_CONV
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from paconv.reference import pa_bit_conv
from tests.passes.graphs import ALPHA, LEVELS, U, V, apply, image, model, ops, pa_constants, parameter, run, weights

LOWER = (LOWER_CONV, REMOVE_DEAD, LOWER_CONV)


def conv_model(attributes="", group=1, bias=None, shape=(6, 4, 3, 3), x="b,4,h,w", **changed):
    rng = np.random.default_rng(3)
    constants = {**pa_constants(rng, *shape), **changed}
    if bias is not None:
        constants["bias"] = bias
    return model(
        f"g (float[{x}] x) => (float[b,{shape[0]},oh,ow] y) {{"
        "  q = paconv.PAActivation(x, v, levels)"
        "  W_bar = paconv.PAWeight(W, u, alpha)"
        f' ["layer.conv"] y = Conv <group = {group}{attributes}> (q, W_bar{", bias" if bias is not None else ""})'
        "}",
        **constants,
    )


def both(reference, x):
    lowered, result = apply(LOWER, reference)
    assert ops(lowered) == ["PABitConv"], result.skipped
    (expected,), (found,) = run(reference, x=x), run(lowered, x=x)
    assert np.array_equal(expected, found)
    return lowered


GEOMETRIES = {
    "plain": ("", 1, (6, 4, 3, 3)),
    "stride 2": (", strides = [2, 2]", 1, (6, 4, 3, 3)),
    "unequal strides": (", strides = [1, 3]", 1, (6, 4, 3, 3)),
    "asymmetric pads": (", pads = [0, 1, 2, 3]", 1, (6, 4, 3, 3)),
    "dilation": (", dilations = [2, 1], pads = [2, 1, 2, 1]", 1, (6, 4, 3, 3)),
    "two groups": (", pads = [1, 1, 1, 1]", 2, (6, 2, 3, 3)),
    "depthwise": ("", 4, (4, 1, 3, 3)),
    "1x1": ("", 1, (5, 4, 1, 1)),
    "oblong kernel": ("", 1, (6, 4, 1, 3)),
    "same upper": (', auto_pad = "SAME_UPPER"', 1, (6, 4, 2, 4)),
    "same lower": (', auto_pad = "SAME_LOWER"', 1, (6, 4, 2, 4)),
    "valid": (', auto_pad = "VALID"', 1, (6, 4, 3, 3)),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_lowered_convolution_gives_equal_results(name):
    attributes, group, shape = GEOMETRIES[name]
    x = image(np.random.default_rng(1), 2, 4, 9, 7)
    both(conv_model(attributes, group, shape=shape), x)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", [7, 8])
def test_auto_pad_with_a_stride_is_resolved_where_the_size_is_known(mode, size):
    reference = conv_model(f', auto_pad = "{mode}", strides = [2, 3]', x=f"b,4,{size},7")
    both(reference, image(np.random.default_rng(1), 2, 4, size, 7))


def test_auto_pad_with_a_stride_and_a_free_size_is_left_alone():
    lowered, result = apply(LOWER_CONV, conv_model(', auto_pad = "SAME_UPPER", strides = [2, 2]'))
    assert [s.reason for s in result.skipped] == ["dynamic-shape-auto-pad"]
    assert "Conv" in ops(lowered)


def test_a_bias_becomes_the_bias_of_the_node():
    bias = np.float32([1, -2, 0.5, 0, 3, -0.125])
    lowered = both(conv_model(bias=bias), image(np.random.default_rng(1), 1, 4, 5, 5))
    assert parameter(lowered, "layer.conv", "bias").tolist() == bias.tolist()


def test_the_node_has_every_input_and_attribute_and_keeps_name_and_tensor_names():
    lowered, _ = apply(LOWER, conv_model())
    (node,) = lowered.graph.node
    assert (node.name, node.domain, node.input[0], list(node.output)) == ("layer.conv", "paconv", "x", ["y"])
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    values = {i.name: numpy_helper.to_array(i) for i in lowered.graph.initializer}
    inputs = {t.name: values[name] for t, name in zip(PA_BIT_CONV.inputs[1:], node.input[1:], strict=True)}
    check_parameters(attributes, inputs)
    assert attributes["group"] == 1 and inputs["W"].shape == (3, 27) and inputs["v"].shape == (1, 3)
    x = image(np.random.default_rng(1), 1, 4, 5, 5)
    assert np.array_equal(pa_bit_conv(x, attributes=attributes, inputs=inputs).Y, run(lowered, x=x)[0])


def test_codes_count_pieces_from_the_zero_level():
    pieces = np.float32([-2, -1, -0.75, -0.5, 0, 0.5, 0.75, 1, 1.25]).reshape(1, 1, 3, 3)
    lowered, _ = apply(LOWER, conv_model(W=pieces, shape=(1, 1, 3, 3), x="b,1,h,w"))
    codes = unpack_codes(parameter(lowered, "layer.conv", "W"), 9)
    assert codes.tolist() == [1, 1, 2, 2, 0, 0, 3, 3, 4]  # u_i < W: an endpoint belongs to the piece below it
    assert parameter(lowered, "layer.conv", "alpha").tolist() == [[0, -1.25, -0.75, 0.75, 1.25]]


@pytest.mark.parametrize(
    "u, alpha",
    [
        ([0], [0, 1.5]),
        ([-0.5, 0.5], [-1, 0, 1]),
        ([-0.5, 0.25, 0.5], [-1, 0, 0.5, 1]),
        ([-0.5, 0.25, 0.5], [-1, -0.5, 0, 1]),
        (np.arange(-4, 4) / 4, [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2]),
        ([0.5, -0.5], [-1, 0, 1]),
        ([-0.5, 0.5], [0, 0, 1]),
    ],
    ids=["M1", "M2", "M3 zero second", "M3 zero third", "M8", "unsorted", "two zeros"],
)
def test_any_number_of_weight_pieces_with_a_zero_level_is_packed(u, alpha):
    reference = conv_model(u=np.float32(u), alpha=np.float32(alpha))
    both(reference, image(np.random.default_rng(1), 1, 4, 5, 5))


@pytest.mark.parametrize("v", [[0.5], [0.5, 0.25, 1], np.arange(1, 9) / 4, [0.5, 0.5], [0.5, np.nan], [-1, np.inf]])
def test_any_endpoints_of_the_activation_are_kept_in_order(v):
    levels = np.float32([0, *(np.arange(len(v)) + 1) / 8])
    reference = conv_model(v=np.float32(v), levels=levels)
    lowered = both(reference, image(np.random.default_rng(1), 1, 4, 5, 5))
    assert np.array_equal(parameter(lowered, "layer.conv", "v"), np.sort(np.float32([v])), equal_nan=True)


def test_nan_and_infinite_activations_have_the_same_levels():
    x = image(np.random.default_rng(1), 1, 4, 5, 5)
    x[0, :, 1:3] = np.array([np.nan, np.inf, -np.inf, np.nan], np.float32)[:, None, None]
    both(conv_model(), x)


REFUSALS = {
    "malformed-weight-levels": {"alpha": np.float32([-1, 0, 1])},
    "no-zero-weight-level": {"alpha": ALPHA + 0.25 * (ALPHA == 0)},
    "more-than-8-weight-planes": {"u": np.arange(9) / 8, "alpha": np.arange(10)},
    "non-finite-weights": {"W": np.full((6, 4, 3, 3), np.nan)},
    "malformed-activation-levels": {"levels": np.float32([0, 1, np.inf, 2])},
    "level-zero-not-zero": {"levels": LEVELS + 1},
    "more-than-8-planes": {"v": np.arange(9), "levels": np.arange(10)},
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_has_no_exact_form_is_left_alone_with_a_reason(reason):
    reference = conv_model(**{name: np.float32(value) for name, value in REFUSALS[reason].items()})
    lowered, result = apply(LOWER_CONV, reference)
    assert [(s.reason, s.node) for s in result.skipped] == [(reason, "layer.conv")]
    assert lowered == reference


def test_a_window_beyond_exact_counts_is_left_alone(monkeypatch):
    monkeypatch.setattr("paconv.passes.lower.lower_conv.MAX_WINDOW", 35)
    _, result = apply(LOWER_CONV, conv_model())
    assert [s.reason for s in result.skipped] == ["window-too-large"]


@pytest.mark.parametrize(
    "call, reason",
    [
        ("q = Relu(x) W_bar = paconv.PAWeight(W, u, alpha) y = Conv(q, W_bar)", "real-activations"),
        ("q = paconv.PAActivation(x, v, levels) y = Conv(q, W)", "real-weights"),
        (
            "v2 = Abs(v) q = paconv.PAActivation(x, v2, levels) W_bar = paconv.PAWeight(W, u, alpha) "
            "y = Conv(q, W_bar)",
            "endpoints-not-constant",
        ),
        (
            "q = paconv.PAActivation(x, v, levels) W2 = Abs(W) W_bar = paconv.PAWeight(W2, u, alpha) "
            "y = Conv(q, W_bar)",
            "weight-not-constant",
        ),
        (
            "q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) b = Abs(u4) "
            "y = Conv(q, W_bar, b)",
            "bias-not-constant",
        ),
    ],
)
def test_a_convolution_that_is_not_of_constants_is_left_alone(call, reason):
    constants = {**pa_constants(np.random.default_rng(0), 4, 4, 3, 3), "u4": U}
    reference = model(f"g (float[b,4,h,w] x) => (float[b,4,oh,ow] y) {{ {call} }}", **constants)
    lowered, result = apply(LOWER_CONV, reference)
    assert [s.reason for s in result.skipped] == [reason]
    assert list(lowered.graph.node) == list(reference.graph.node)


def test_an_initializer_that_is_also_an_input_is_no_constant():
    reference = model(
        "g (float[b,4,h,w] x, float[3] v) => (float[b,4,oh,ow] y) {"
        " q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) y = Conv(q, W_bar) }",
        **pa_constants(np.random.default_rng(0), 4, 4, 3, 3),
    )
    lowered, result = apply(LOWER_CONV, reference)
    assert [s.reason for s in result.skipped] == ["endpoints-not-constant"]
    assert lowered == reference


def test_constants_from_constant_nodes_are_found():
    reference = model(
        "g (float[b,4,h,w] x) => (float[b,4,oh,ow] y) {"
        " v = Constant <value_floats = [0.25, 0.5, 1.0]> ()"
        " levels = Constant <value = float[4] {0, 0.5, 0.75, 1.25}> ()"
        " q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) y = Conv(q, W_bar) }",
        W=weights(np.random.default_rng(0), 4, 4, 3, 3),
        u=U,
        alpha=ALPHA,
    )
    both(reference, image(np.random.default_rng(1), 1, 4, 5, 5))


def test_a_shared_activation_and_a_shared_weight_serve_several_convolutions():
    reference = model(
        "g (float[b,4,h,w] x) => (float[b,4,h,w] y, float[b,4,h,w] z) {"
        " q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha)"
        " [a] y = Conv(q, W_bar) [b] z = Conv <dilations = [2, 2]> (q, W_bar) }",
        **pa_constants(np.random.default_rng(0), 4, 4, 1, 1),
    )
    lowered, _ = apply(LOWER, reference)
    assert ops(lowered) == ["PABitConv", "PABitConv"]
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    for expected, found in zip(run(reference, x=x), run(lowered, x=x), strict=True):
        assert np.array_equal(expected, found)


def test_an_approximated_activation_that_is_an_output_or_read_by_others_stays_a_function_call():
    reference = model(
        "g (float[b,4,h,w] x) => (float[b,4,h,w] y, float[b,4,h,w] q, float[b,4,h,w] p) {"
        " q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha)"
        " y = Conv(q, W_bar) p = Neg(q) }",
        **pa_constants(np.random.default_rng(0), 4, 4, 1, 1),
    )
    lowered, _ = apply(LOWER, reference)
    assert sorted(ops(lowered)) == ["Neg", "PAActivation", "PABitConv"]
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    for expected, found in zip(run(reference, x=x), run(lowered, x=x), strict=True):
        assert np.array_equal(expected, found)


def test_convolutions_without_a_name_are_called_after_their_output():
    reference = model(
        "g (float[b,4,h,w] x) => (float[b,4,h,w] y) {"
        " q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) y = Conv(q, W_bar) }",
        **pa_constants(np.random.default_rng(0), 4, 4, 1, 1),
    )
    lowered, _ = apply(LOWER, reference)
    assert lowered.graph.node[0].name == "y"


def test_v_is_the_sorted_endpoints_as_one_row():
    lowered, _ = apply(LOWER, conv_model())
    assert parameter(lowered, "layer.conv", "v").tolist() == [V.tolist()]
    assert parameter(lowered, "layer.conv", "beta").tolist() == LEVELS.tolist()

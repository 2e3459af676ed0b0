"""ReLU and batch norm around PABitConv fold into it; results in stock onnxruntime stay equal on a dyadic grid."""

import numpy as np
import pytest

from paconv.passes.fold.drop_relu import DROP_RELU
from paconv.passes.fold.fold_after import FOLD_AFTER
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.lower.lower_conv import LOWER_CONV
from paconv.passes.tidy.drop_no_ops import DROP_NO_OPS
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from tests.passes.graphs import V, apply, batch_norm, image, model, ops, pa_constants, parameter, run

CONV = "q = paconv.PAActivation({x}, v, levels) W_bar = paconv.PAWeight(W, u, alpha) [conv] {y} = Conv(q, W_bar) "
BN = "BatchNormalization <epsilon = 0.0> ({x}, {p}_gamma, {p}_beta, {p}_mean, {p}_var) "
FOUR = {"gamma": [1, -2, 0, 4], "beta": [0.5, 0.25, 0.75, -1], "mean": [0, 1, 3, -0.5], "var": [1, 4, 0.25, 16]}
BEFORE = (LOWER_CONV, REMOVE_DEAD, DROP_RELU, REMOVE_DEAD, FOLD_BEFORE, REMOVE_DEAD, FOLD_BEFORE)
AFTER = (LOWER_CONV, REMOVE_DEAD, FOLD_AFTER, REMOVE_DEAD, FOLD_AFTER)


def graph(body, outputs="float[b,4,h,w] y", inputs="float[b,4,h,w] x", **constants):
    return model(
        f"g ({inputs}) => ({outputs}) {{ {body} }}", **pa_constants(np.random.default_rng(0), 4, 4, 1, 1), **constants
    )


def folded(passes, reference, x=None):
    """The folded model, checked to give equal results."""
    x = image(np.random.default_rng(1), 2, 4, 5, 6) if x is None else x
    result, account = apply(passes, reference)
    for expected, found in zip(run(reference, x=x), run(result, x=x), strict=True):
        assert np.array_equal(expected, found)
    return result, account


# batch norm before


def test_batch_norm_before_an_activation_folds_into_endpoints_of_each_channel():
    reference = graph("n = " + BN.format(x="x", p="n") + CONV.format(x="n", y="y"), **batch_norm("n", **FOUR))
    result, _ = folded(BEFORE, reference)
    assert ops(result) == ["PABitConv"] and result.graph.node[0].input[0] == "x"
    assert parameter(result, "conv", "sign").tolist() == [1, -1, 1, 1]
    # x - 0 + .5 >= v;  -(x - 1) + .25 >= v  <=>  -x >= v - 1.25;  the constant .75;  x + .5 - 1 >= v
    expected = [V - 0.5, V - 1.25, [-np.inf, -np.inf, np.nan], V + 0.5]
    found = parameter(result, "conv", "v")
    # cancelling float64 sums may move a boundary at 0 by the last bit of the offset
    assert np.allclose(found, expected, rtol=0, atol=2.0**-52, equal_nan=True)


def test_batch_norm_then_relu_folds_as_one_chain():
    body = "n = " + BN.format(x="x", p="n") + "r = Relu(n) " + CONV.format(x="r", y="y")
    result, _ = folded(BEFORE, graph(body, **batch_norm("n", **FOUR)))
    assert ops(result) == ["PABitConv"] and result.graph.node[0].input[0] == "x"


def test_several_activations_with_endpoints_of_their_own_read_one_batch_norm():
    body = (
        "n = "
        + BN.format(x="x", p="n")
        + CONV.format(x="n", y="y")
        + "r = Relu(n) q2 = paconv.PAActivation(r, v2, levels) z = Conv <strides = [2, 2]> (q2, W_bar) "
    )
    reference = graph(body, "float[b,4,h,w] y, float[b,4,i,j] z", v2=V + 0.125, **batch_norm("n", **FOUR))
    result, _ = folded(BEFORE, reference)
    assert ops(result) == ["PABitConv", "PABitConv"]
    assert [n.input[0] for n in result.graph.node] == ["x", "x"]


def test_batch_norm_of_a_concatenation_folds_whatever_else_reads_the_concatenation():
    body = (
        "c = Concat <axis = 1> (a, x) n = "
        + BN.format(x="c", p="n")
        + "r = Relu(n) "
        + CONV.format(x="r", y="y")
        + "m = "
        + BN.format(x="c", p="m")
        + "s = Relu(m) z = Concat <axis = 1> (c, s)"
    )
    reference = graph(
        body,
        "float[b,4,h,w] y, float[b,8,h,w] z",
        "float[b,2,h,w] a, float[b,2,h,w] x",
        **batch_norm("n", **FOUR),
        **batch_norm("m", [2] * 4, [0.5] * 4, [0] * 4, [1] * 4),
    )
    result, account = apply(BEFORE, reference)
    assert account.skipped == []
    assert sorted(ops(result)) == ["BatchNormalization", "Concat", "Concat", "PABitConv", "Relu"]
    assert next(n for n in result.graph.node if n.op_type == "PABitConv").input[0] == "c"
    rng = np.random.default_rng(1)
    feeds = {"a": image(rng, 2, 2, 5, 6), "x": image(rng, 2, 2, 5, 6)}
    for expected, found in zip(run(reference, **feeds), run(result, **feeds), strict=True):
        assert np.array_equal(expected, found)


def test_equal_channels_keep_one_row_of_endpoints():
    reference = graph(
        "n = " + BN.format(x="x", p="n") + CONV.format(x="n", y="y"),
        **batch_norm("n", [2] * 4, [0.125] * 4, [0] * 4, [1] * 4),
    )
    result, _ = folded(BEFORE, reference)
    assert parameter(result, "conv", "v").tolist() == [[0.0625, 0.1875, 0.4375]]
    assert parameter(result, "conv", "sign").shape == (1,)


@pytest.mark.parametrize(
    "extra, outputs",
    [("", ", float[b,4,h,w] n"), ("z = Neg(n)", ", float[b,4,h,w] z"), ("z = Add(n, y)", ", float[b,4,h,w] z")],
    ids=["graph output", "another node", "residual"],
)
def test_a_batch_norm_that_others_read_stays_with_a_reason(extra, outputs):
    body = "n = " + BN.format(x="x", p="n") + CONV.format(x="n", y="y") + extra
    reference = graph(body, "float[b,4,h,w] y" + outputs, **batch_norm("n", **FOUR))
    result, account = folded(BEFORE, reference)
    assert "BatchNormalization" in ops(result)
    assert [(s.reason, s.node) for s in account.skipped] == [("read-by-others", "conv")]


def test_a_batch_norm_read_inside_a_subgraph_stays():
    body = (
        "n = "
        + BN.format(x="x", p="n")
        + CONV.format(x="n", y="y")
        + "z = If (flag) <then_branch = t () => (float[b,4,h,w] a) { a = Neg(n) },"
        + " else_branch = e () => (float[b,4,h,w] c) { c = Abs(n) }>"
    )
    reference = graph(body, "float[b,4,h,w] y, float[b,4,h,w] z", flag=np.array(True), **batch_norm("n", **FOUR))
    result, account = folded(BEFORE, reference)
    assert sorted(ops(result)) == ["BatchNormalization", "If", "PABitConv"]
    assert [s.reason for s in account.skipped] == ["read-by-others"]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"gamma": [np.nan, 1, 1, 1]}, "non-finite-parameters"),
        ({"mean": [np.inf, 1, 1, 1]}, "non-finite-parameters"),
        ({"var": [0, 1, 1, 1]}, "non-finite-parameters"),
        ({"var": [-1, 1, 1, 1]}, "non-finite-parameters"),
    ],
)
def test_a_batch_norm_without_a_finite_affine_form_stays(change, reason):
    reference = graph(
        "n = " + BN.format(x="x", p="n") + CONV.format(x="n", y="m") + "y = " + BN.format(x="m", p="n"),
        **batch_norm("n", **{**FOUR, **change}),
    )
    _, before = apply(BEFORE, reference)
    _, after = apply(AFTER, reference)
    assert [s.reason for s in before.skipped] == [reason] and [s.reason for s in after.skipped] == [reason]


def test_a_batch_norm_in_training_mode_stays():
    body = "n, m2, v2 = BatchNormalization <training_mode = 1> (x, n_gamma, n_beta, n_mean, n_var) " + CONV.format(
        x="n", y="y"
    )
    _, account = apply(BEFORE, graph(body, **batch_norm("n", **FOUR)))
    assert [s.reason for s in account.skipped] == ["training-mode"]


def test_a_batch_norm_with_computed_parameters_stays():
    body = "n_mean = Neg(n_beta) n = " + BN.format(x="x", p="n") + CONV.format(x="n", y="y")
    constants = batch_norm("n", **FOUR)
    del constants["n_mean"]
    _, account = apply(BEFORE, graph(body, **constants))
    assert [s.reason for s in account.skipped] == ["parameters-not-constant"]


K = np.float32([0.5, -2, 1, 4]).reshape(4, 1, 1)


@pytest.mark.parametrize(
    "op", ["Mul(x, k)", "Mul(k, x)", "Add(x, k)", "Sub(x, k)", "Sub(k, x)", "Div(x, k)", "Mul(x, half)", "Add(half, x)"]
)
def test_arithmetic_with_a_constant_of_each_channel_folds_before_and_after(op):
    before = graph(f"n = {op} " + CONV.format(x="n", y="y"), k=K, half=np.float32(0.5))
    after = graph(CONV.format(x="x", y="n") + f"y = {op.replace('x', 'n')}", k=K, half=np.float32(0.5))
    assert ops(folded(BEFORE, before)[0]) == ["PABitConv"]
    assert ops(folded(AFTER, after)[0]) == ["PABitConv"]


@pytest.mark.parametrize(
    "op, k",
    [
        ("Div(k, x)", K),
        ("Mul(x, k)", np.ones((4, 5, 1), np.float32)),
        ("Mul(x, k)", np.ones((2, 4, 1, 1), np.float32)),
        ("Mul(x, k)", np.ones(6, np.float32)),
        ("Mul(x, x)", K),
    ],
)
def test_other_arithmetic_stays(op, k):
    reference = graph(f"n = {op} " + CONV.format(x="n", y="y"), k=k)
    x = image(np.random.default_rng(1), 2, 4, 5, 6) + np.float32(4.0625)
    result, account = folded(BEFORE, reference, x)
    assert len(ops(result)) == 2 and account.skipped == []


def test_a_constant_that_widens_the_channels_stays():
    reference = graph("n = Mul(x, k) " + CONV.format(x="n", y="y"), inputs="float[b,1,h,w] x", k=K)
    result, _ = folded(BEFORE, reference, image(np.random.default_rng(1), 2, 1, 5, 6))
    assert ops(result) == ["Mul", "PABitConv"]


# ReLU


@pytest.mark.parametrize("relu", ["Relu(x)", "Clip(x, zero, six)", "Clip(x, zero)", "Clip(x, , six)", "Clip(x)"])
def test_a_relu_or_clip_around_all_endpoints_is_redundant(relu):
    reference = graph(f"r = {relu} " + CONV.format(x="r", y="y"), zero=np.float32(0), six=np.float32(6))
    _result, account = folded((LOWER_CONV, REMOVE_DEAD, DROP_RELU), reference)
    assert [(r.what, r.node) for r in account.rewritten] == [("relu", "conv")]


@pytest.mark.parametrize(
    "relu, v",
    [
        ("Relu(x)", [0, 0.5, 1]),
        ("Relu(x)", [-0.5, 0.5, 1]),
        ("Clip(x, low, high)", [0.25, 0.5, 1]),
        ("Clip(x, low, high)", [0.5, 0.75, 2]),
        ("Clip(x, high, low)", [0.5, 0.75, 2]),
    ],
)
def test_a_relu_or_clip_that_decides_something_stays(relu, v):
    constants = {**pa_constants(np.random.default_rng(0), 4, 4, 1, 1), "v": np.float32(v)}
    reference = model(
        f"g (float[b,4,h,w] x) => (float[b,4,h,w] y) {{ r = {relu} {CONV.format(x='r', y='y')} }}",
        low=np.float32(0.25),
        high=np.float32(1),
        **constants,
    )
    result, account = folded((LOWER_CONV, REMOVE_DEAD, DROP_RELU), reference)
    assert account.rewritten == [] and len(ops(result)) == 2


def test_a_relu_up_to_exactly_the_last_endpoint_is_redundant():
    reference = graph("r = Clip(x, zero, one) " + CONV.format(x="r", y="y"), zero=np.float32(0), one=np.float32(1))
    result, _ = folded((LOWER_CONV, REMOVE_DEAD, DROP_RELU, REMOVE_DEAD, DROP_RELU), reference)
    assert ops(result) == ["PABitConv"]


def test_a_relu_that_a_residual_reads_stays_for_all():
    body = "r = Relu(x) " + CONV.format(x="r", y="c") + "y = Add(c, r)"
    result, account = folded((LOWER_CONV, REMOVE_DEAD, DROP_RELU), graph(body))
    assert account.rewritten == [] and ops(result) == ["Relu", "PABitConv", "Add"]


def test_a_relu_before_an_activation_that_stays_a_function_call_goes_too():
    reference = graph("r = Relu(x) y = paconv.PAActivation(r, v, levels)")
    result, _ = folded((DROP_RELU, REMOVE_DEAD, DROP_RELU), reference)
    assert ops(result) == ["PAActivation"]


def test_a_relu_with_bounds_that_are_not_constant_stays():
    reference = graph("low = ReduceMin <keepdims = 0> (v) r = Clip(x, low) " + CONV.format(x="r", y="y"))
    _, account = folded((LOWER_CONV, REMOVE_DEAD, DROP_RELU), reference)
    assert account.rewritten == []


def test_a_relu_before_endpoints_that_compare_downwards_stays():
    body = "r = Relu(x) n = " + BN.format(x="r", p="n") + CONV.format(x="n", y="y")
    reference = graph(body, **batch_norm("n", [-1] * 4, [1] * 4, [0] * 4, [1] * 4))
    result, _ = folded((*BEFORE, REMOVE_DEAD, DROP_RELU), reference)
    assert ops(result) == ["Relu", "PABitConv"]


# batch norm after


def test_batch_norm_after_a_convolution_folds_into_its_scale_and_bias():
    constants = batch_norm("n", **FOUR)
    body = CONV.format(x="x", y="c").replace("Conv(q, W_bar)", "Conv(q, W_bar, cb)")
    reference = graph(body + "y = " + BN.format(x="c", p="n"), cb=[1, 2, 3, 4], **constants)
    result, _account = folded(AFTER, reference)
    assert ops(result) == ["PABitConv"] and list(result.graph.node[0].output) == ["y"]
    assert parameter(result, "conv", "scale").tolist() == [1, -1, 0, 1]
    assert parameter(result, "conv", "bias").tolist() == [1.5, -0.75, 0.75, 3.5]


def test_a_chain_behind_a_convolution_folds_whole_and_is_narrowed_once():
    third = np.float32(1 / 3)
    body = CONV.format(x="x", y="c") + "n = " + BN.format(x="c", p="n") + "m = Mul(n, k) y = Add(m, k)"
    reference = graph(body, k=third, **batch_norm("n", [third] * 4, [0.1] * 4, [0] * 4, [1] * 4))
    result, _account = apply(AFTER, reference)
    assert ops(result) == ["PABitConv"]
    wide = np.float64(third)
    assert (parameter(result, "conv", "scale") == np.float32(wide * wide)).all()
    assert (parameter(result, "conv", "bias") == np.float32(np.float64(np.float32(0.1)) * wide + wide)).all()


@pytest.mark.parametrize(
    "extra, outputs, reasons",
    [("", ", float[b,4,h,w] c", []), ("z = Neg(c)", ", float[b,4,h,w] z", ["read-by-others"])],
    ids=["graph output", "another node"],
)
def test_a_batch_norm_stays_where_others_read_the_convolution(extra, outputs, reasons):
    body = CONV.format(x="x", y="c") + "y = " + BN.format(x="c", p="n") + extra
    result, account = folded(AFTER, graph(body, "float[b,4,h,w] y" + outputs, **batch_norm("n", **FOUR)))
    assert "BatchNormalization" in ops(result) and [s.reason for s in account.skipped] == reasons


def test_a_scale_beyond_float32_stays():
    body = CONV.format(x="x", y="c") + "y = " + BN.format(x="c", p="n")
    reference = graph(body, **batch_norm("n", [1e30] * 4, [0] * 4, [0] * 4, [1e-30] * 4))
    _, account = apply(AFTER, reference)
    assert [s.reason for s in account.skipped] == ["non-finite-parameters"]


# no-ops


@pytest.mark.parametrize("no_op", ["Identity(x)", "Dropout(x)", "Dropout(x, half)", "Dropout(x, half, off)"])
def test_identities_and_inference_dropouts_give_way(no_op):
    reference = graph(f"i = {no_op} " + CONV.format(x="i", y="y"), half=np.float32(0.5), off=np.array(False))
    result, _ = folded((DROP_NO_OPS, REMOVE_DEAD, DROP_NO_OPS), reference)
    assert ops(result) == ["PAActivation", "PAWeight", "Conv"]
    assert result.graph.node[0].input[0] == "x"


def test_identities_whose_name_is_needed_stay():
    reference = graph(
        "y = Identity(x) z, mask = Dropout(x) p = Neg(z)", "float[b,4,h,w] y, float[b,4,h,w] p, bool[b,4,h,w] mask"
    )
    result, account = folded(DROP_NO_OPS, reference)
    assert account.rewritten == [] and ops(result) == ["Identity", "Dropout", "Neg"]


def test_a_dropout_in_training_mode_stays():
    reference = graph("i = Dropout(x, half, on) y = Neg(i)", half=np.float32(0.5), on=np.array(True))
    _, account = apply(DROP_NO_OPS, reference)
    assert account.rewritten == []


def test_batch_norm_between_a_convolution_and_a_concatenation_folds_into_the_convolution():
    body = CONV.format(x="x", y="m") + "n = " + BN.format(x="m", p="n") + "y = Concat <axis = 1> (x, n)"
    reference = graph(body, "float[b,8,h,w] y", **batch_norm("n", **FOUR))
    result, _ = folded(AFTER, reference)
    assert ops(result) == ["PABitConv", "Concat"]

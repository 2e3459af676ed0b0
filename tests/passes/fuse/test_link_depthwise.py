"""Real depthwise convolutions between quantized ones: in the chain, channel-last, what follows in their finish."""

import numpy as np
import onnx
import pytest

import paconv
from paconv.ops import PA_DEPTHWISE_CONV
from paconv.passes.fuse.unfuse import canonical, unfuse
from paconv.pipeline import FUSION
from tests.passes.fuse.test_unfuse import signature, wiring
from tests.passes.graphs import V_FROM_ZERO, canonical_form, fused_names, image, initializer, ops, pa_conv, run, weights

RNG = np.random.default_rng(3)
CONSTANTS = {
    "D": weights(RNG, 4, 1, 3, 3), "b": weights(RNG, 4), "low": np.float32(0), "high": np.float32(6), "v": V_FROM_ZERO,
    "infinite": np.full((4, 1, 3, 3), np.inf, np.float32), "half": weights(RNG, 4, 2, 3, 3),
}  # fmt: skip
DEPTHWISE = "[dw] e = Conv <group = 4, pads = [1, 1, 1, 1], strides = [2, 1]> (d, D, b) "


def fused(body, outputs="float[b,4,i,j] y", size="6,7"):
    """(canonical form, fused form) of a body from x; checked to compute the same, and the way back."""
    plain = canonical_form(f"g (float[b,4,{size}] x) => ({outputs}) {{ {body} }}", **CONSTANTS)
    found = paconv.optimize(plain).model
    x = image(np.random.default_rng(1), 2, 4, 6, 7)
    for expected, a in zip(run(plain, x=x), run(found, x=x), strict=True):
        assert np.array_equal(expected, a)
    assert signature(canonical(found)) == signature(plain) and wiring(canonical(found)) == wiring(plain)
    assert paconv.optimize(found).model == found
    return plain, found


def between(depthwise, behind="z = Identity (e) "):
    return pa_conv("c1", "x", "d") + depthwise + behind + pa_conv("c2", "z", "y")


def depthwise_nodes(model):
    return [n for n in model.graph.node if n.op_type == "PADepthwiseConv"]


def test_one_between_two_quantized_convolutions_reads_floats_and_makes_levels():
    _, model = fused(between(DEPTHWISE))
    assert ops(model) == ["Transpose", "PALevels", "PALevelConv", "PADepthwiseConv", "PALevelConv", "Transpose"]
    (node,) = depthwise_nodes(model)
    assert (node.name, list(node.input)[:3:2], list(node.output)) == (
        "dw",
        ["d.channel_last", "D"],
        ["", "e.levels", ""],
    )
    assert fused_names(model, "dw") == ["e", "", ""] and unfuse(model).depthwise == ("e",)
    attributes = {a.name: list(a.ints) for a in node.attribute if a.ints}
    assert attributes == {"strides": [2, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1]}


def test_the_way_back_has_the_weights_the_bias_and_the_geometry():
    for bias, count in ((", b", 3), ("", 2)):
        _, model = fused(between(DEPTHWISE.replace(", b", bias).replace("[1, 1, 1, 1]", "[2, 0, 1, 1]")))
        conv = next(n for n in canonical(model).graph.node if n.op_type == "Conv")
        assert list(conv.input) == ["d", "D", "b"][:count] and conv.domain == "" and conv.name == "dw"
        found = {a.name: onnx.helper.get_attribute_value(a) for a in conv.attribute}
        expected = {"pads": [2, 0, 1, 1], "strides": [2, 1], "dilations": [1, 1], "kernel_shape": [3, 3], "group": 4}
        assert found == expected


def test_what_follows_it_goes_into_its_finish():
    plain = DEPTHWISE.replace(", strides = [2, 1]", "")
    _, model = fused(between(plain, "s = Add (e, x) z = Clip (s, low, high) "))
    assert fused_names(model, "dw") == ["e", "s", "z"] and not {"Add", "Clip", "Relu"} & set(ops(model))
    (node,) = depthwise_nodes(model)
    clip = [t.name for t in PA_DEPTHWISE_CONV.inputs].index("clip")
    assert initializer(model, node.input[clip]).tolist() == [0, 6]


def test_one_behind_another_and_one_behind_a_real_op_become_part_of_the_chain():
    second = "[dw2] f = Conv <group = 4, pads = [1, 1, 1, 1]> (e, D) z = Relu (f) "
    _, model = fused("d = Abs (x) " + DEPTHWISE + second + pa_conv("c1", "z", "g") + pa_conv("c2", "g", "y"))
    assert ops(model) == [
        "Abs",
        "Transpose",
        "PADepthwiseConv",
        "PADepthwiseConv",
        "PALevelConv",
        "PALevelConv",
        "Transpose",
    ]


def test_two_quantized_convolutions_are_linked_over_one_alone_and_shuffles_stay_channel_last():
    shuffle = "s = Reshape (c, apart) t = Transpose <perm = [0, 2, 1, 3, 4]> (s) d = Reshape (t, together) "
    body = pa_conv("c1", "x", "c") + shuffle + DEPTHWISE + pa_conv("c2", "e", "y")
    shapes = {"apart": np.int64([-1, 2, 2, 6, 7]), "together": np.int64([-1, 4, 6, 7])}
    plain = canonical_form(f"g (float[b,4,6,7] x) => (float[b,4,i,j] y) {{ {body} }}", **CONSTANTS, **shapes)
    assert ops(paconv.optimize(plain).model) == [
        "Transpose", "PALevels", "PALevelConv", "Reshape", "Transpose", "Reshape", "PADepthwiseConv", "PALevelConv",
        "Transpose",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "depthwise",
    [
        DEPTHWISE.replace("(d, D, b)", "(d, infinite)"),
        DEPTHWISE.replace("group = 4", "group = 2").replace("(d, D, b)", "(d, half)"),
        DEPTHWISE.replace("(d, D, b)", "(d, K)").replace("[dw]", "K = Abs (D)"),
    ],
    ids=["weights not finite", "not depthwise", "computed weights"],
)
def test_another_convolution_stays_a_conv(depthwise):
    plain = canonical_form(f"g (float[b,4,6,7] x) => (float[b,4,i,j] y) {{ {between(depthwise)} }}", **CONSTANTS)
    assert "Conv" in ops(paconv.optimize(plain).model)


def test_one_that_nothing_channel_last_reads_stays_a_conv():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "d") + DEPTHWISE + "y = Abs (e) "
    assert "Conv" in ops(fused(body)[1])


def test_the_report_counts_it_as_the_real_convolution_that_it_is():
    plain, model = fused(between(DEPTHWISE))
    for each in (plain, model):
        report = paconv.optimize(each).report
        assert (report.totals["bit_convs"], report.totals["real"], report.totals["linked"]) == (2, 1, 2)
        (line,) = (line for line in report.convs if line.node == "dw")
        assert (line.form, line.reason) == ("real", "real-weights")
    assert [each.name for group in FUSION for each in group].count("channel-last-depthwise") == 1

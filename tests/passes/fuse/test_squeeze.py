"""Squeeze-and-excitation between quantized convolutions stays channel-last: a mean is a product with a row."""

import numpy as np
import onnx
import pytest

import paconv
from paconv.cost import count
from paconv.network.extract import network
from paconv.passes.fuse.unfuse import canonical, unfuse
from tests.passes.fuse.test_unfuse import signature, wiring
from tests.passes.graphs import V_FROM_ZERO, batch_norm, image, model, ops, pa_constants, pa_conv, run, weights

RNG = np.random.default_rng(5)
CONSTANTS = {
    **pa_constants(RNG, 4, 4, 3, 3),
    **batch_norm("n", [1, -2, 0.5, 4], [0.5, 0.25, 0.75, -1], [0, 1, 3, -0.5], [1, 4, 0.25, 16]),
    "v": V_FROM_ZERO,
    "D": weights(RNG, 4, 1, 3, 3),
    "G1": weights(RNG, 2, 4, 1, 1),
    "G2": weights(RNG, 4, 2, 1, 1),
    "axes": np.int64([-1, 2]),
    "zero": np.float32(0),
    "three": np.float32(3),
    "six": np.float32([6]),
    "most": np.float32(6),
}
POINT = "pads = [0, 0, 0, 0]"
DEPTHWISE = "[dw] d = Conv <group = 4, pads = [1, 1, 1, 1]> (a, D) "
BATCH_NORM = "n = BatchNormalization <epsilon = 0.0> (d, n_gamma, n_beta, n_mean, n_var) "
GATE = "k1 = Conv (m, G1) k2 = Relu (k1) k3 = Conv (k2, G2) k = Sigmoid (k3) "
MEAN = "[mean] m = ReduceMean (r, axes) "


def reference(body, size="6,7", outputs="float[b,4,i,j] y", opset=18, **constants):
    """model.onnx: `body` from `a`, which a quantized convolution makes, to `z`, which another one reads."""
    text = pa_conv("c1", "x", "a") + body + pa_conv("c2", "z", "y")
    return model(f"g (float[b,4,{size}] x) => ({outputs}) {{ {text} }}", opset, **(CONSTANTS | constants))


def gated(activation="r = Relu (n) ", mean=MEAN, gate=GATE, of="r"):
    return DEPTHWISE + BATCH_NORM + activation + mean + gate + f"z = Mul ({of}, k) "


def fused(exported):
    """The fused form: verified, the same decisions with the library and without, and the way back."""
    plain, found = paconv.optimize(exported, fuse=False).model, paconv.optimize(exported).model
    assert wiring(canonical(found)) == wiring(plain) and signature(canonical(found)) == signature(plain)
    assert paconv.optimize(found).model == found
    x = image(np.random.default_rng(1), 2, 4, 6, 7)
    for each in (plain, found):
        assert paconv.verify(exported, each, {"x": x}).first_difference is None
    with_library = paconv.InferenceSession(found.SerializeToString()).run(None, {"x": x})
    for a, b in zip(run(found, x=x), with_library, strict=True):
        assert np.allclose(a, b, 1e-6, 1e-6)  # one that decides otherwise is off by a tenth
    return found


def transposed(found):
    """What the graph's Transposes make, but for the one of the input and the one of the output."""
    made = [n.output[0] for n in found.graph.node if n.op_type == "Transpose"]
    return [name for name in made if name not in ("x.channel_last", "y")]


def test_a_block_of_squeeze_and_excitation_has_no_transpose_of_a_whole_tensor():
    found = fused(reference(gated()))
    assert ops(found) == [
        "Transpose", "PALevels", "PALevelConv", "PADepthwiseConv", "Reshape", "MatMul", "Transpose", "Conv", "Relu",
        "Conv", "Sigmoid", "Transpose", "Mul", "PALevels", "PALevelConv", "Transpose",
    ]  # fmt: skip
    assert transposed(found) == ["m", "k.channel_last"]  # one pixel each
    product = next(n for n in found.graph.node if n.op_type == "MatMul")
    row = next(onnx.numpy_helper.to_array(i) for i in found.graph.initializer if i.name == product.input[0])
    assert product.name == "mean" and np.array_equal(row, np.full((1, 42), 1 / 42, np.float32))
    assert list(unfuse(found).means) == ["m"] and unfuse(found).depthwise == ("n",)


@pytest.mark.parametrize(
    "mean, opset",
    [
        ("m = GlobalAveragePool (r) ", 18),
        ("m = GlobalAveragePool (r) ", 13),
        ("m = ReduceMean <axes = [2, 3]> (r) ", 13),
        ("m = ReduceMean <axes = [3, -2], keepdims = 1> (r) ", 17),
        ("m = ReduceMean <keepdims = 1> (r, axes) ", 18),
    ],
)
def test_every_way_to_say_the_mean_is_one_and_the_way_back_has_it_again(mean, opset):
    found = fused(reference(gated(mean=mean), opset=opset))
    assert "MatMul" in ops(found) and transposed(found) == ["m", "k.channel_last"]


@pytest.mark.parametrize(
    "mean, shape",
    [("m = ReduceMean <keepdims = 0> (r, axes) ", "b,4"), ("m = ReduceMean (r, columns) ", "b,4,6,1")],
    ids=["that drops its axes", "of columns alone"],
)
def test_another_mean_stays(mean, shape):
    body = gated(mean=MEAN.replace("m =", "m0 =") + mean + "w = Abs (m) ", gate=GATE.replace("(m,", "(m0,"))
    found = fused(reference(body, outputs=f"float[b,4,i,j] y, float[{shape}] w", columns=np.int64([3])))
    assert ops(found).count("ReduceMean") == 1 and ops(found).count("MatMul") == 1


ACTIVATIONS = {
    "SiLU": "{p}s = Sigmoid ({x}) {y} = Mul ({x}, {p}s) ",
    "hard swish": "{y} = HardSwish ({x}) ",
    "hard swish spelled out": "{p}s = Add ({x}, three) {p}c = Clip ({p}s, zero, most) {p}t = Mul ({x}, {p}c) "
    "{y} = Div ({p}t, six) ",
    "hard sigmoid and product": "{p}s = HardSigmoid <alpha = 0.16666667> ({x}) {y} = Mul ({x}, {p}s) ",
    "leaky ReLU": "{y} = LeakyRelu <alpha = 0.25> ({x}) ",
    "ReLU6": "{y} = Clip ({x}, zero, most) ",
}


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_activations_before_and_behind_the_mean_work_channel_last(activation):
    before, behind = activation.format(x="n", y="r", p="b"), activation.format(x="o", y="z", p="f")
    found = fused(reference(gated(before).replace("z = Mul", "o = Mul") + behind))
    assert transposed(found) == ["m", "k.channel_last"] and "PADepthwiseConv" in ops(found)


def test_a_quantized_gate_is_part_of_the_chain_and_no_pixel_is_transposed():
    shrink = pa_conv("g1", "m", "k1", POINT).replace("(W,", "(G1,")
    grow = pa_conv("g2", "k2", "k3", POINT).replace("(W,", "(G2,")
    gate = shrink + "k2 = Relu (k1) " + grow + "k = HardSigmoid (k3) "
    found = fused(reference(gated(gate=gate)))
    assert transposed(found) == [] and ops(found).count("PALevelConv") == 4


def test_a_mean_with_several_readers_and_two_means_of_one_tensor_are_products():
    body = gated(gate=GATE + "[second] m2 = GlobalAveragePool (r) w = Abs (m2) h = Abs (m) ")
    found = fused(reference(body, outputs="float[b,4,i,j] y, float[b,4,1,1] w, float[b,4,1,1] h"))
    assert ops(found).count("MatMul") == 2 and set(transposed(found)) == {"m", "m2", "k.channel_last"}


@pytest.mark.parametrize("size", ["h,w", "6,w"])
def test_means_over_free_rows_or_columns_stay_and_the_rest_works_channel_last(size):
    found = fused(reference(gated(), size))
    assert "MatMul" not in ops(found) and "ReduceMean" in ops(found) and "PADepthwiseConv" in ops(found)
    assert transposed(found) == ["r", "k.channel_last"]


def test_a_mean_of_what_nothing_else_reads_stays():
    body = DEPTHWISE + BATCH_NORM + "r = Relu (n) s = Add (r, a) [mean] m = ReduceMean (s, axes) " + GATE
    found = fused(reference(body + "z = Mul (r, k) "))
    assert "MatMul" not in ops(found) and transposed(found) == ["s", "k.channel_last"]


def test_a_tensor_times_constants_of_each_channel_keeps_what_is_before_it_channel_first():
    body = DEPTHWISE + "h = Abs (d) r = Mul (d, K) z = Add (r, h) "
    exported = reference(body, K=np.float32([1, 2, 0.5, 4]).reshape(1, 4, 1, 1))
    assert ops(paconv.optimize(exported).model) == ops(paconv.optimize(exported, fuse=False).model)


@pytest.mark.parametrize("size", ["6,7", "h,w"])
def test_it_costs_what_the_exported_model_and_the_canonical_form_cost(size):
    exported = reference(gated(ACTIVATIONS["SiLU"].format(x="n", y="r", p="b")), size)
    plain, found = paconv.optimize(exported, fuse=False).model, paconv.optimize(exported).model
    counted = [count(network(each, {"x": (1, 4, 6, 7)})) for each in (exported, plain, found)]
    assert counted[0].totals == counted[1].totals == counted[2].totals


def test_the_report_says_that_the_batch_norm_went_into_the_depthwise_convolution():
    report = paconv.optimize(reference(gated())).report
    (line,) = (line for line in report.convs if line.node == "dw")
    assert line.form == "real" and line.folded == ("bn-after", "clip")
    assert report.passes["channel-last-means"] == 1 and report.passes["fold-depthwise"] == 1

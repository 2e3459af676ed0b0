"""Which layers of a network become piecewise-approximated, why the others stay real, and what each reads."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from paconv.errors import UsageError
from paconv.onnx_file.plain import plain_model
from paconv.quantization.plan import PA, REASONS, plan

DRAW = np.random.default_rng(0)


def w(*shape: int) -> np.ndarray:
    return DRAW.standard_normal(shape, np.float32)


SAME = "pads = [1, 1, 1, 1]"

WEIGHTS = {
    "S": w(4, 3, 3, 3),
    "A": w(4, 4, 3, 3),
    "B": w(4, 4, 3, 3),
    "D": w(4, 1, 3, 3),
    "P": w(4, 4, 1, 1),
    "Q": w(2, 4, 1, 1),
    "L": w(4, 5),
    "T": w(4, 4, 2, 2),
    "Z": np.zeros((4, 4, 1, 1), np.float32),
    "mean": np.full((4, 4, 3, 3), 1 / 36, "f"),
    "bins": np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1),
    "half": np.float32(0.5),
    "k": np.int64([2, 3]),
    "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    "one": np.float32(1),
    "double": w(4, 4, 1, 1).astype(np.float64),
    "bad": np.full((4, 4, 1, 1), np.nan, np.float32),
    "C8": w(4, 8, 1, 1),
    "C7": w(4, 7, 3, 3),
}


def graph(body: str, outputs: str = "float[n,c,h,w] y") -> onnx.ModelProto:
    """A model whose nodes are named by what they make."""
    text = f'<ir_version: 8, opset_import: ["" : 18]>\ng (float[n,3,8,8] x) => ({outputs}) {{{body}}}'
    model = onnx.parser.parse_model(text)
    for node in model.graph.node:
        node.name = node.output[0]
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in WEIGHTS.items() if k in used)
    return model


def codes(body: str, outputs: str = "float[n,c,h,w] y", **options) -> dict[str, str]:
    """Layer -> why it stays real, or PA."""
    return {layer.name: layer.code or layer.form for layer in plan(graph(body, outputs), **options).layers}


STEM = f"s = Conv<{SAME}>(x, S) r = Relu(s)"
CHAIN = f"{STEM} a = Conv<{SAME}>(r, A) b = Relu(a) y = Conv(b, Q)"


def test_the_first_convolution_and_the_head_stay_real_and_others_do_not():
    assert codes(CHAIN) == {"s": "first-layer", "a": PA, "y": "head"}
    assert codes(CHAIN, first="pa", last="pa") == {"s": PA, "a": PA, "y": PA}
    assert codes(CHAIN, keep=["a"]) == {"s": "first-layer", "a": "kept-by-name", "y": "head"}


def test_every_convolution_of_an_input_is_first_through_what_normalizes_it():
    stems = f"m = Mul(x, half) n = Sub(m, one) s = Conv<{SAME}>(n, S) t = Conv<{SAME}>(x, S) u = Add(s, t)"
    assert codes(f"{stems} a = Conv(u, A) y = Conv(a, Q)") == {
        "s": "first-layer",
        "t": "first-layer",
        "a": PA,
        "y": "head",
    }


def test_a_convolution_that_reads_an_input_beside_features_is_not_first():
    body = f"{STEM} c = Concat<axis = 1>(r, x) d = Conv(c, C7) y = Conv(d, Q)"
    assert codes(body) == {"s": "first-layer", "d": PA, "y": "head"}


def test_all_heads_of_a_detector_stay_real():
    body = (
        f"{STEM} a = Conv<{SAME}>(r, A) b = Conv<{SAME}>(r, B) c = Conv(a, Q) d = Conv(b, P) e = Sigmoid(c)"
        "f = Softmax<axis = 1>(d) i = Conv(f, bins) y = Concat<axis = 1>(e, i)"
    )
    heads = {"c": "head", "d": "head", "i": "constant-weights"}
    assert codes(body) == {"s": "first-layer", "a": PA, "b": PA, **heads}


def test_an_output_beside_others_makes_its_layer_a_head():
    body = f"{CHAIN} z = Sigmoid(a)"
    assert codes(body, "float[n,c,h,w] y, float[n,d,i,j] z") == {"s": "first-layer", "a": "head", "y": "head"}


@pytest.mark.parametrize("join", ["Add(c, b)", "Add(b, c)", "Sum(b, c, b)", "Concat<axis = 1>(b, c)"])
def test_what_passes_a_branch_does_not_make_heads_of_the_layers_before_it(join):
    body = f"{STEM} a = Conv<{SAME}>(r, A) b = Relu(a) c = Conv<{SAME}>(b, B) y = {join}"
    assert codes(body) == {"s": "first-layer", "a": PA, "c": "head"}


def test_both_layers_of_a_sum_of_branches_are_heads():
    body = f"{STEM} a = Conv<{SAME}>(r, A) b = Conv<{SAME}>(r, B) y = Add(a, b)"
    assert codes(body) == {"s": "first-layer", "a": "head", "b": "head"}


def test_a_linear_head_leaves_the_convolution_before_it_to_be_converted():
    body = f"{STEM} a = Conv(r, A) p = ReduceMean<keepdims = 0>(a, k) l = Relu(p) y = Gemm(l, L)"
    assert codes(body, "float[n,5] y") == {"s": "first-layer", "a": PA, "y": "head"}
    assert codes(body, "float[n,5] y", last="pa") == {"s": "first-layer", "a": PA, "y": "linear"}
    body = body.replace("Gemm(l, L)", "MatMul(l, L)")
    assert codes(body, "float[n,5] y") == {"s": "first-layer", "a": PA, "y": "head"}


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (f"Conv<{SAME}, group = 4>(r, D)", "depthwise"),
        ("ConvTranspose<strides = [2, 2]>(r, T)", "transposed"),
        ("Conv(r, mean)", "constant-weights"),
        ("Conv(r, Z)", "zero-weights"),
        ("Conv(r, bad)", "non-finite-weights"),
        ("Conv(r, v)", "weight-not-constant"),
    ],
)
def test_what_cannot_be_converted_says_why(node, code):
    body = f"{STEM} q = ReduceMax<keepdims = 0>(r) v = Mul(q, P) a = {node} y = Conv(a, Q)"
    found = codes(body)
    assert found == {"s": "first-layer", "a": code, "y": "head"} and code in REASONS


def test_other_ranks_and_types_stay_real():
    body = (
        f"{STEM} e = Cast<to = 11>(r) f = Conv(e, double) a = Cast<to = 1>(f) t = Reshape(a, flat) c = Conv(t, V)"
        "u = Reshape(c, square) y = Conv(u, Q)"
    )
    model = graph(body)
    extra = {"flat": np.int64([0, 0, -1]), "square": np.int64([0, 0, 8, 8]), "V": w(4, 4, 1)}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in extra.items())
    assert [layer.code for layer in plan(model).layers] == ["first-layer", "not-float32", "not-2d", "head"]


def test_a_depthwise_convolution_can_be_converted():
    body = f"{STEM} a = Conv<{SAME}, group = 4>(r, D) y = Conv(a, Q)"
    assert codes(body, depthwise="pa") == {"s": "first-layer", "a": PA, "y": "head"}


def test_convolutions_in_a_subgraph_are_listed():
    body = (
        f"{STEM} c = Cast<to = 9>(half) a = If(c) <then_branch = g1 () => (float[n,4,8,8] p) {{ p = Conv(r, P) }},"
        "else_branch = g2 () => (float[n,4,8,8] q) { q = Relu(r) }> y = Conv(a, Q)"
    )
    model = graph(body)
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS["P"], "P"))
    assert {layer.name: layer.code for layer in plan(model).layers}["p"] == "inside-subgraph"


def test_layers_that_read_one_tensor_share_its_activation():
    body = f"{STEM} a = Conv<{SAME}>(r, A) b = Conv<{SAME}>(r, B) c = Add(a, b) d = Conv(c, P) y = Conv(d, Q)"
    made = plan(graph(body))
    assert made.activations == {"r": ("a", "b"), "c": ("d",)}
    assert [layer.rectified for layer in made.pa] == [True, True, False]


def test_a_pad_of_zeros_is_looked_through_and_another_is_not():
    body = f"{STEM} p = Pad(r, pads) a = Conv(p, A) y = Conv(a, Q)"
    (layer,) = plan(graph(body)).pa
    assert (layer.reads, layer.pad, layer.rectified) == ("r", "p", True)
    for other in ("Pad(r, pads, one)", 'Pad<mode = "reflect">(r, pads)'):
        (layer,) = plan(graph(body.replace("Pad(r, pads)", other))).pa
        assert (layer.reads, layer.pad, layer.rectified) == ("p", "", True)
    (layer,) = plan(graph(body.replace("Conv(p, A)", 'Conv<auto_pad = "SAME_UPPER">(p, A)'))).pa
    assert layer.pad == ""


def test_shares_are_those_of_the_layers_that_are_converted():
    body = (
        f"{STEM} a = Conv<{SAME}, strides = [2, 2]>(r, A) d = ConvTranspose<strides = [2, 2]>(a, T)"
        "p = ReduceMean<keepdims = 0>(d, k) y = Gemm(p, L)"
    )
    plain = plain_model(graph(body, "float[n,5] y"))
    made = plan(plain.model, shapes=plain.shapes)
    macs = {"s": 64 * 4 * 27, "a": 16 * 4 * 36, "d": 16 * 4 * 16, "y": 20}
    parameters = {"s": 108, "a": 144, "d": 64, "y": 20}
    assert {layer.name: layer.macs for layer in made.layers} == macs
    assert {layer.name: layer.parameters for layer in made.layers} == parameters
    assert made.macs_share == macs["a"] / sum(macs.values())
    assert made.parameters_share == 144 / 336
    assert np.isnan(plan(plain.model).macs_share)


def test_weights_that_two_layers_share_are_counted_once():
    body = f"{STEM} a = Conv<{SAME}>(r, A) b = Conv<{SAME}>(a, A) y = Conv(b, Q)"
    assert [layer.parameters for layer in plan(graph(body)).layers] == [108, 144, 0, 8]


def test_options_without_a_meaning_are_refused():
    with pytest.raises(UsageError, match="first must be 'real' or 'pa'; found 'float'"):
        plan(graph(CHAIN), first="float")
    with pytest.raises(UsageError, match=r"keep: 'conv\*' names no layer; layers are s, a, y"):
        plan(graph(CHAIN), keep="conv*")


@pytest.mark.parametrize("pool", ["GlobalAveragePool (a)", "ReduceMean <axes = [2, 3], keepdims = 1> (a)"])
def test_convolutions_of_what_was_averaged_over_all_pixels_stay_real(pool):
    made = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[b, 3, 8, 8] x) => (float[b, 4, 8, 8] y)
        {{
          a = Conv (x, w)
          p = {pool}
          s = Conv (p, squeeze)
          r = Relu (s)
          e = Conv (r, excite)
          g = Sigmoid (e)
          m = Mul (a, g)
          n = Conv (m, next)
          y = Conv (n, last)
        }}
    """)
    weights = {"w": w(4, 3, 1, 1)} | {name: w(4, 4, 1, 1) for name in ("squeeze", "excite", "next", "last")}
    made.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    for node in made.graph.node:
        node.name = node.output[0]
    codes = {layer.name: layer.code for layer in plan(made).layers}
    assert codes == {"a": "first-layer", "s": "one-pixel", "e": "one-pixel", "n": "", "y": "head"}

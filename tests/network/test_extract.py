"""From ONNX graphs to layers: what is counted, what is shared, and what is named because it isn't counted."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from paconv.cost import count, network, under_scheme
from paconv.errors import ModelError
from paconv.network.extract import parameters
from paconv.network.layers import BATCH_NORM
from paconv.network.parameters_note import KEY, write_note
from paconv.onnx_file.scheme_note import write_scheme
from paconv.ops import add_functions
from tests.network.resnet_graphs import FORMS, resnet_graph


def model(text: str, **initializers: np.ndarray) -> onnx.ModelProto:
    """A model of ONNX text (the graph alone), with initializers of these values."""
    parsed = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18, "paconv" : 1]> {text}')
    for name, values in initializers.items():
        parsed.graph.initializer.append(numpy_helper.from_array(values, name))
    add_functions(parsed)
    return parsed


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def layer(found, name: str):
    return next(item for item in found if item.name == name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", (18, 50))
def test_downsampling_layers_are_recognized_in_every_form(form, depth):
    shortcuts = {item.name for item in network(resnet_graph(depth, form)) if item.shortcut}
    first = 1 if depth == 50 else 2
    assert shortcuts == {f"layer{g}.0.downsample.0" for g in range(first, 5)}


@pytest.mark.parametrize("form", ("exported", "optimized"))
def test_an_input_that_two_convolutions_share_is_compared_once(form):
    counted = count(network(resnet_graph(18, form, 4, 5)))
    costs = {item.layer.name: item.cost for item in counted.layers}
    assert costs["layer2.0.conv1"].comparisons == 5 * 64 * 56 * 56
    assert costs["layer2.0.downsample.0"].comparisons == 0
    assert costs["layer1.0.conv2"].comparisons == costs["layer1.1.conv1"].comparisons == 5 * 64 * 56 * 56


PAIR = """
g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
  a = paconv.PAActivation (x, v1, levels)
  b = paconv.PAActivation (x, v2, levels)
  p = paconv.PAWeight (W1, u, levels4)
  q = paconv.PAWeight (W2, u, levels4)
  c = Conv <kernel_shape = [1, 1]> (a, p)
  d = Conv <kernel_shape = [1, 1]> (b, q)
  y = Add (c, d)
}
"""


@pytest.mark.parametrize(("second", "times"), [([1.0, 2.0], 1), ([1.0, 3.0], 2)])
def test_one_tensor_is_compared_twice_only_if_its_endpoints_differ(second, times):
    graph = model(
        PAIR,
        v1=np.array([1, 2], np.float32),
        v2=np.array(second, np.float32),
        levels=np.arange(3, dtype=np.float32),
        levels4=np.arange(5, dtype=np.float32),
        u=np.arange(4, dtype=np.float32),
        W1=zeros(4, 4, 1, 1),
        W2=zeros(4, 4, 1, 1),
    )
    found = count(network(graph)).totals
    assert found.comparisons == times * 2 * 4 * 8 * 8
    assert found.binary_weights == 32
    assert found.multiplications == 4 * 2 * 2 * 4 * 64


def test_ops_that_are_not_counted_are_named_with_their_parameters():
    graph = model(
        """g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            a = Relu (x)
            b = InstanceNormalization (a, scale, shift)
            c = Mul (b, factor)
            d = Clip (c, low, high)
            y = Relu (d)
        }""",
        scale=zeros(4), shift=zeros(4), factor=zeros(4, 1, 1), low=np.float32(0), high=np.float32(6),
    )  # fmt: skip
    found = network(graph)
    assert found.uncounted_ops == {"Clip": 1, "InstanceNormalization": 1, "Mul": 1, "Relu": 2}
    held = {(item.op, item.tensor, item.count) for item in found.uncounted_parameters}
    assert held == {("InstanceNormalization", "scale", 4), ("InstanceNormalization", "shift", 4), ("Mul", "factor", 4)}
    assert count(found).totals.bits == 0


def test_a_convolution_inside_a_branch_is_named():
    graph = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[1, 1, 2, 2] x, bool c) => (float[1, 1, 2, 2] y)
        <float[1, 1, 1, 1] w = {2}> {
            y = If (c) <
                then_branch = t () => (float[1, 1, 2, 2] a) { a = Conv (x, w) },
                else_branch = e () => (float[1, 1, 2, 2] b) { b = Identity (x) }
            >
        }""")
    assert network(graph).uncounted_ops == {"If": 1, "If/Conv": 1, "If/Identity": 1}


def test_layers_inside_a_model_local_function_are_counted():
    graph = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18, "my" : 1]>
        g (float[batch, 4, 8, 8] x) => (float[batch, 6, 8, 8] y) <float[6, 4, 1, 1] w> { y = my.block (x, w) }
        <domain: "my", opset_import: ["" : 18]> block (x, w) => (y) { a = Conv (x, w)  y = Relu (a) }""")
    graph.graph.initializer.append(numpy_helper.from_array(zeros(6, 4, 1, 1), "w"))
    found = network(graph)
    assert [item.weights for item in found] == [24]
    assert found.uncounted_ops == {"Relu": 1}


def test_bias_groups_linear_and_transposed_layers():
    graph = model(
        """g (float[batch, 4, 8, 8] x) => (float[batch, 5] y) {
            a = Conv <group = 2, kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, b)
            t = ConvTranspose <strides = [2, 2], kernel_shape = [2, 2]> (a, tw, tb)
            p = GlobalAveragePool (t)
            f = Flatten (p)
            m = MatMul (f, mw)
            n = Add (m, mb)
            y = Gemm <transB = 1> (n, gw, gb)
        }""",
        w=zeros(6, 2, 3, 3), b=zeros(6), tw=zeros(6, 3, 2, 2), tb=zeros(3), mw=zeros(3, 7), mb=zeros(7),
        gw=zeros(5, 7), gb=zeros(5),
    )  # fmt: skip
    found = network(graph)
    rows = [(item.kind, item.weight_shape, item.weights, item.bias, item.macs) for item in found]
    assert rows == [
        ("conv", (6, 2, 3, 3), 108, 6, 6 * 64 * 18),
        ("transposed conv", (6, 3, 2, 2), 72, 3, 6 * 64 * 3 * 4),
        ("linear", (7, 3), 21, 7, 21),
        ("linear", (5, 7), 35, 5, 35),
    ]
    assert found.uncounted_ops == {"Flatten": 1, "GlobalAveragePool": 1}


def test_a_weight_that_two_layers_share_is_stored_once_and_used_twice():
    graph = model(
        """g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            a = Conv <kernel_shape = [1, 1]> (x, w, b)
            y = Conv <kernel_shape = [1, 1]> (a, w, b)
        }""",
        w=zeros(4, 4, 1, 1), b=zeros(4),
    )  # fmt: skip
    totals = count(network(graph)).totals
    assert totals.real_parameters == 20
    assert totals.macs == 2 * 16 * 64


def test_a_bias_is_a_parameter_of_each_layer_though_the_file_stores_equal_ones_once():
    graph = model(
        """g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            a = Conv <kernel_shape = [1, 1]> (x, w1, b)
            n = BatchNormalization (a, one, b, b, one)
            c = Conv <kernel_shape = [1, 1]> (n, w2, b)
            m = BatchNormalization (c, one, shift, b, one)
            d = Conv <kernel_shape = [1, 1]> (m, w3)
            y = Add (d, b4)
        }""",
        w1=zeros(4, 4, 1, 1), w2=zeros(4, 4, 1, 1), w3=zeros(4, 4, 1, 1), b=zeros(4), b4=zeros(4, 1, 1),
        one=np.ones(4, np.float32), shift=np.ones(4, np.float32),
    )  # fmt: skip
    assert count(network(graph)).totals.real_parameters == 3 * (16 + 4) + 2 * 8


def test_what_a_quantizer_does_to_its_channels_first_is_a_part_of_it_as_it_is_of_the_endpoints_in_the_packed_file():
    graph = model(
        """g (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y) {
            p = Relu (x)
            shifted = Sub (p, shift)
            stretched = Mul (shifted, stretch)
            a = paconv.PAActivation (stretched, v, levels)
            q = paconv.PAWeight (w, u, values)
            c = Conv <kernel_shape = [1, 1]> (a, q, b)
            y = Mul (c, scale)
        }""",
        shift=zeros(4, 1, 1), stretch=np.full((4, 1, 1), 2, np.float32), scale=np.full((4, 1, 1), 3, np.float32),
        v=np.array([0.5, 1.5], np.float32), levels=np.array([0, 1, 2], np.float32),
        w=np.random.default_rng(0).standard_normal((4, 4, 1, 1)).astype(np.float32),
        u=np.array([-0.3, 0.3], np.float32), values=np.array([-1, 0, 1], np.float32), b=zeros(4),
    )  # fmt: skip
    exported = network(graph)
    assert [held.tensor for held in exported.uncounted_parameters] == ["scale"]
    assert exported.uncounted_ops == {"Mul": 1, "Relu": 1}


def test_depthwise_first_and_transposed_convolutions_and_linear_layers_stay_real_under_every_scheme():
    graph = model(
        """g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            a = Conv <kernel_shape = [1, 1]> (x, w1)
            d = Conv <group = 4, kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a, w2)
            e = Conv <group = 2, kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (d, w3)
            y = ConvTranspose <kernel_shape = [1, 1]> (e, w4)
        }""",
        w1=zeros(4, 4, 1, 1), w2=zeros(4, 1, 3, 3), w3=zeros(4, 2, 3, 3), w4=zeros(4, 4, 1, 1),
    )  # fmt: skip
    for scheme in ("pa", "abc", "bireal", "xnor"):
        binary = [item.weight_shape for item in under_scheme(network(graph), scheme) if item.planes]
        assert binary == [(4, 2, 3, 3)]


def test_a_dead_node_costs_nothing():
    graph = model(
        """g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            unused = Conv <kernel_shape = [1, 1]> (x, w)
            y = Relu (x)
        }""",
        w=zeros(4, 4, 1, 1),
    )
    assert network(graph).layers == ()


FOLDED = """
g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
  y = paconv.PABitConv <weight_shape = [4, 4, 1, 1], weight_masks = [0, 1, 2], level_masks = [0, 1], strides = [1, 1],
    pads = [0, 0, 0, 0], dilations = [1, 1], group = 1> (x, W, alpha, v, sign, beta, scale, bias)
}
"""


def folded(endpoint_rows: int, scale, bias: float, beta: float = 1) -> onnx.ModelProto:
    graph = model(
        FOLDED,
        W=np.zeros((2, 2), np.uint8), alpha=np.array([[0, 1, 2]], np.float32),
        v=np.ones((endpoint_rows, 1), np.float32), sign=np.ones(1, np.int8), beta=np.array([0, beta], np.float32),
        scale=np.broadcast_to(np.float32(scale), 4).copy(), bias=np.full(4, bias, np.float32),
    )  # fmt: skip
    graph.graph.node[0].name = "conv"
    return graph


NORM = (3, 2, 3, 3)


@pytest.mark.parametrize(
    ("rows", "scale", "bias", "beta", "expected"),
    [
        (1, 1, 0, 1, 0), (1, 1, 2, 1, 4), (1, NORM, 2, 1, 8), (1, NORM, 0, 1, 8), (4, 1, 0, 1, 8), (4, NORM, 2, 1, 16),
        (1, 3, 0, 1, 0), (1, 3, 2, 1, 4), (1, 3, 2, 0.5, 8),
    ],
)  # fmt: skip
def test_without_a_note_folded_parameters_are_inferred_and_said_to_be(rows, scale, bias, beta, expected):
    found = network(folded(rows, scale, bias, beta))
    assert count(found).totals.real_parameters == expected
    assert "inferred" in found.inferred


def test_with_a_note_the_optimizer_s_record_counts_not_the_guess():
    # A bias, then two batch norms, one of them the identity: the graph shows none of it.
    graph = folded(1, 1, 0)
    original = model(
        """g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            a = Conv <kernel_shape = [1, 1]> (x, w, b)
            c = BatchNormalization (a, s, b, b, s)
            y = BatchNormalization (c, s2, b2, b2, s2)
        }""",
        w=zeros(4, 4, 1, 1), b=zeros(4), s=zeros(4), s2=zeros(4), b2=zeros(4),
    )  # fmt: skip
    original.graph.node[0].name = "conv"
    write_note(graph, parameters(original))
    found = network(graph)
    assert found.inferred == ""
    assert count(found).totals.real_parameters == 4 + 8 + 8
    assert layer(found, "conv").bias == 4
    assert [item.weight_shape for item in found if item.kind == BATCH_NORM] == [(4,), (4,)]


def test_a_second_note_of_the_same_network_changes_nothing():
    graph = folded(4, 3, 2)
    write_note(graph, parameters(graph))
    before = graph.SerializeToString()
    write_note(graph, parameters(graph))
    assert graph.SerializeToString() == before


@pytest.mark.parametrize("value", ["", "[]", '{"bias": {}}', '{"bias": {"a": "x"}, "batch_norm": {}}', "{}x"])
def test_a_malformed_note_is_said_and_the_rest_is_inferred(value):
    graph = folded(1, 1, 2)
    graph.metadata_props.append(onnx.StringStringEntryProto(key=KEY, value=value))
    found = network(graph)
    assert found.remarks[0].startswith("metadata paconv.parameters: expected")
    assert "inferred" in found.inferred
    assert count(found).totals.real_parameters == 4


def test_a_shape_that_cannot_be_told_is_an_error_that_names_the_layer():
    graph = model(
        """g (float[1, 4, 8, 8] x, int64[4] shape) => (float[a, 4, b, c] y) {
            r = Reshape (x, shape)
            y = Conv <kernel_shape = [1, 1]> (r, w)
        }""",
        w=zeros(4, 4, 1, 1),
    )
    graph.graph.node[1].name = "last"
    with pytest.raises(ModelError, match="layer last: expected a known shape of tensor r"):
        network(graph)


def test_a_window_larger_than_its_image_is_an_error_that_names_the_layer():
    graph = model(
        "g (float[1, 3, 8, 8] x) => (float[1, 4, h, w] y) { y = Conv <kernel_shape = [9, 9]> (x, w) }",
        w=zeros(4, 3, 9, 9),
    )
    with pytest.raises(ModelError, match="layer y: expected a known shape of tensor y; found 1, 4, 0, 0"):
        network(graph)


def test_shapes_that_contradict_each_other_are_an_error():
    graph = model("g (float[1, 3] x) => (float[1, 4] y) { y = Add (x, c) }", c=zeros(1, 5))
    with pytest.raises(ModelError, match="inconsistent"):
        network(graph)


def test_nodes_of_the_same_name_and_without_a_name_are_told_apart():
    graph = model(
        """g (float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            a = Conv <kernel_shape = [1, 1]> (x, w1)
            b = BatchNormalization (a, s1, z, z, s1)
            y = BatchNormalization (b, s2, z, z, s2)
        }""",
        w1=zeros(4, 4, 1, 1), s1=zeros(4), s2=zeros(4), z=zeros(4),
    )  # fmt: skip
    for node in graph.graph.node[1:]:
        node.name = "norm"
    assert [item.name for item in parameters(graph)] == ["a", "norm", "y"]


def test_the_batch_of_a_file_that_fixes_one_is_counted():
    graph = resnet_graph(18, "float", batch=2)
    found = network(graph)
    assert found.batch == 2
    assert count(found).totals.macs == 2 * 1_814_073_344


def test_quantizers_without_a_counted_reader_are_named():
    graph = model(
        "g (float[1, 4] x) => (float[1, 4] y) { y = paconv.PAActivation (x, v, levels) }",
        v=np.ones(2, np.float32), levels=np.ones(3, np.float32),
    )  # fmt: skip
    assert network(graph).uncounted_ops == {"paconv.PAActivation": 1}


def test_external_shapes_survive_big_constants():
    weight = TensorProto(name="w", dims=[4096, 2048, 3, 3], data_type=TensorProto.FLOAT)
    node = helper.make_node("Conv", ["x", "w"], ["y"], "wide", pads=[1, 1, 1, 1])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 2048, 7, 7])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 4096, 7, 7])]
    graph = helper.make_graph([node], "g", inputs, outputs, [weight])
    found = network(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    assert count(found).totals.macs == 4096 * 2048 * 9 * 49


def test_constants_may_be_nodes_of_any_kind():
    graph = model(
        """g (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y) {
            v = Constant <value_floats = [1.0, 2.0]> ()
            u = Constant <value = float[2] {-1.0, 1.0}> ()
            a = paconv.PAActivation (x, v, levels)
            q = paconv.PAWeight (w, u, levels)
            y = Conv <kernel_shape = [1, 1]> (a, q)
        }""",
        levels=np.arange(3, dtype=np.float32), w=zeros(4, 4, 1, 1),
    )  # fmt: skip
    (conv,) = network(graph)
    assert (conv.planes.M, conv.planes.N) == (2, 2)


def test_endpoints_that_are_computed_are_an_error_that_names_them():
    graph = model(
        """g (float[1, 4, 8, 8] x, float[2] v) => (float[1, 4, 8, 8] y) {
            a = paconv.PAActivation (x, v, levels)
            q = paconv.PAWeight (w, u, levels)
            y = Conv <kernel_shape = [1, 1]> (a, q)
        }""",
        levels=np.arange(3, dtype=np.float32), u=np.zeros(2, np.float32), w=zeros(4, 4, 1, 1),
    )  # fmt: skip
    with pytest.raises(ModelError, match="expected v, an input of a paconv op, to be a constant"):
        network(graph)


def test_a_file_of_a_scheme_that_is_not_known_is_counted_as_pa_and_says_so():
    graph = resnet_graph(18, "exported", 4, 5)
    assert {planes.scheme for planes in network(graph).planes} == {"pa"}
    write_scheme(graph, "abc")
    assert {planes.scheme for planes in network(graph).planes} == {"abc"}
    write_scheme(graph, "other")
    found = network(graph)
    assert {planes.scheme for planes in found.planes} == {"pa"}
    assert "metadata paconv.scheme: expected pa, abc, " in found.remarks[0]
    assert "found 'other', counted by PA's rules: update paconv" in found.remarks[0]

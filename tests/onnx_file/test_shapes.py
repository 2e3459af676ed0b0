"""Free dimensions: how they are given, and what is said when one is missing."""

from __future__ import annotations

import onnx
import pytest

from paconv.errors import UsageError
from paconv.onnx_file.shapes import fixed_input_shapes, parse_input_shapes, tensor_shapes


def model(*inputs: str) -> onnx.ModelProto:
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({", ".join(inputs)}) => (float[a] y) {{ y = Relu (x) }}'
    return onnx.parser.parse_model(text)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], {}),
        (["3,224,224"], {"": (3, 224, 224)}),
        (["3x224x224"], {"": (3, 224, 224)}),
        (["x=3,8,9", "y=4"], {"x": (3, 8, 9), "y": (4,)}),
        (["height=5,width=6"], {"height": (5,), "width": (6,)}),
        (["x=3x8x9,batch=2"], {"x": (3, 8, 9), "batch": (2,)}),
    ],
)
def test_input_shapes_are_read_with_and_without_names(texts, expected):
    assert parse_input_shapes(texts) == expected


@pytest.mark.parametrize("texts", [["3,a"], [""], ["x="], ["0,3"], ["-1"], ["3", "4"], ["x=3", "x=4"], ["x=3,x=4"]])
def test_a_malformed_input_shape_is_an_error_that_shows_it(texts):
    with pytest.raises(UsageError, match="--input-shape: expected sizes"):
        parse_input_shapes(texts)


def test_a_free_batch_is_one():
    assert fixed_input_shapes(model("float[batch, 3, 8, 8] x")) == {"x": (1, 3, 8, 8)}


@pytest.mark.parametrize("key", ["", "x"])
def test_a_shape_may_leave_the_batch_out_or_give_it(key):
    free = model("float[batch, 3, h, w] x")
    assert fixed_input_shapes(free, {key: (3, 5, 6)}) == {"x": (1, 3, 5, 6)}
    assert fixed_input_shapes(free, {key: (2, 3, 5, 6)}) == {"x": (2, 3, 5, 6)}


def test_a_named_dimension_is_fixed_wherever_it_occurs():
    free = model("float[batch, 3, s, s] x", "float[batch, s] z")
    assert fixed_input_shapes(free, {"s": (7,), "batch": (4,)}) == {"x": (4, 3, 7, 7), "z": (4, 7)}


def test_a_dimension_that_stays_free_is_named_with_its_input():
    with pytest.raises(UsageError, match=r"input image: .* dimension 'height' \(dimension 2\) is free"):
        fixed_input_shapes(model("float[batch, 3, height, width] image"))


def test_each_of_several_inputs_needs_its_own_shape():
    free = model("float[batch, c] x", "float[batch, d] z")
    assert fixed_input_shapes(free, {"x": (3,), "z": (4,)}) == {"x": (1, 3), "z": (1, 4)}
    with pytest.raises(UsageError, match="expected names among x, z"):
        fixed_input_shapes(free, {"": (3,), "x": (3,), "z": (4,)})


def test_a_name_that_the_model_does_not_have_is_an_error():
    with pytest.raises(UsageError, match="expected names among x, batch; found size"):
        fixed_input_shapes(model("float[batch, 3] x"), {"size": (3,)})


def test_a_size_that_contradicts_the_file_is_an_error():
    with pytest.raises(UsageError, match="input x has the fixed size 3 in dimension 1; --input-shape says 4"):
        fixed_input_shapes(model("float[batch, 3, 8, 8] x"), {"": (4, 8, 8)})


def test_a_shape_of_another_rank_is_an_error():
    with pytest.raises(UsageError, match="input x has 3 dimensions beside the batch; found 3x8"):
        fixed_input_shapes(model("float[batch, 3, h, w] x"), {"": (3, 8)})


def test_an_input_without_any_shape_takes_the_one_given():
    shapeless = model("float[a] x")
    shapeless.graph.input[0].type.tensor_type.ClearField("shape")
    assert fixed_input_shapes(shapeless, {"": (3, 8, 8)}) == {"x": (1, 3, 8, 8)}
    with pytest.raises(UsageError, match="input x has no shape in the file; give --input-shape x=CxHxW"):
        fixed_input_shapes(shapeless)


def test_shapes_pass_through_the_ops_of_paconv():
    graph = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18, "paconv" : 1]>
        g (float[batch, 4, 9, 7] x, float[3] v, float[4] levels, uint8[2, 18] W, float[1, 3] alpha,
           int8[1] sign, float[2] beta, float[4] scale, float[4] bias, float[1, 1] e)
        => (float[batch, 4, h, w] z) {
            a = paconv.PAActivation (x, v, levels)
            w = paconv.PAUnpackWeight <weight_shape = [4, 4, 3, 3], weight_masks = [0, 1, 2]> (W, alpha)
            y = Conv <strides = [2, 1], kernel_shape = [3, 3]> (a, w)
            z = paconv.PABitConv <weight_shape = [4, 4, 3, 3], weight_masks = [0, 1, 2], level_masks = [0, 1],
                strides = [1, 2], pads = [1, 2, 0, 1], dilations = [2, 1], group = 1>
                (y, W, alpha, e, sign, beta, scale, bias)
        }""")
    shapes = tensor_shapes(graph, fixed_input_shapes(graph, {"batch": (2,)}))
    assert shapes["a"] == (2, 4, 9, 7)
    assert shapes["w"] == (4, 4, 3, 3)
    assert shapes["y"] == (2, 4, 4, 5)
    assert shapes["z"] == (2, 4, 1, 3)

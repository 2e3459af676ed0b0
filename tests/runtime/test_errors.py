"""Every malformed node or call gets an onnxruntime error with the node's name, the expectation and the finding."""

import numpy as np
import pytest

import paconv
from paconv.errors import OpError
from paconv.ops.pa_bit_conv import check_parameters
from tests.bit_conv_cases import make_case, model_of

CASE = make_case(np.random.default_rng(0), group=2, channels=4, out=4)


def changed(name, index, value):
    array = CASE.inputs[name].copy()
    array[index] = value
    return {name: array}


MALFORMED = [
    ({"weight_shape": None}, "weight_shape", "found none"),
    ({"weight_shape": [8, 4, 3]}, "4 integers in weight_shape", "found 3"),
    ({"weight_shape": [8, 0, 3, 3]}, "all at least 1", "[8, 0, 3, 3]"),
    ({"weight_shape": [8, 1 << 40, 3, 3]}, "at most 16777216", "1099511627776"),
    ({"weight_shape": [8, 4, 3, 2]}, "W of shape (R, 24)", "[3, 36]"),
    ({"strides": [0, 1]}, "strides of at least 1", "[0, 1]"),
    ({"strides": [1]}, "2 integers in strides", "found 1"),
    ({"strides": [0.5, 1.5]}, "strides, a list of integers", "found none"),
    ({"dilations": [1, -1]}, "dilations of at least 1", "[1, -1]"),
    ({"pads": [0, 0, -1, 0]}, "pads within 0..2147483647", "[0, 0, -1, 0]"),
    ({"pads": [1 << 62, 0, 1 << 62, 0]}, "pads within 0..2147483647", "4611686018427387904"),
    ({"group": 3}, "group that divides O=8", "found 3"),
    ({"group": None}, "attribute group", "found none"),
    ({"version": None}, "attribute version", "found none"),
    ({"version": 2}, "version 1..1", "found 2"),
    ({"version": 0}, "version 1..1", "found 0"),
    ({"weight_masks": [0, 1, 2, 4, 16]}, "weight_masks within 0..15", "found 16"),
    ({"weight_masks": [0, 1, 2, 4, 8, 3, 5, 6, 7]}, "at most 8 weight_masks", "found 9"),
    ({"weight_masks": [0, 1]}, "weight codes below 2", "larger one at weight"),
    ({"level_masks": [0, 1, 2]}, "6 level_masks", "found 3"),
    ({"level_masks": [0] * 300}, "at most 256 integers", "found 300"),
    ({"alpha": np.ones((3, 5), np.float32)}, "alpha of shape (1 or 8, M+1)", "[3, 5]"),
    ({"alpha": np.ones((1, 10), np.float32)}, "M in 1..8", "found 9"),
    ({"beta": np.ones((1,), np.float32)}, "N in 1..8", "[1]"),
    ({"v": np.ones((3, 5), np.float32)}, "v of shape (1 or 8, E)", "[3, 5]"),
    (changed("v", (0, 0), 9), "v ascending", "in row 0"),
    (changed("alpha", (0, 1), np.nan), "finite numbers in alpha", "found nan at 1"),
    (changed("beta", 0, -np.inf), "finite numbers in beta", "found -inf at 0"),
    (changed("scale", 7, np.inf), "finite numbers in scale", "found inf at 7"),
    (changed("bias", 2, np.nan), "finite numbers in bias", "found nan at 2"),
    ({"alpha": np.full((1, 5), 3e38, np.float32), "beta": np.zeros(6, np.float32)}, "within float32", "up to 1.5e+39"),
    (changed("alpha", (0, 1), 3e38), "within float32", "in output channel 0"),
    (changed("scale", 3, 1e38), "within float32", "in output channel 3"),
    (changed("v", (2, 0), np.nan), "v ascending", "in row 2"),
    (changed("sign", 3, 0), "sign +1 or -1", "found 0 at 3"),
    ({"sign": np.ones(5, np.int8)}, "sign of shape (1,) or (8,)", "[5]"),
    ({"scale": np.ones(7, np.float32)}, "scale and bias of shape (8,)", "7"),
    ({"W": CASE.inputs["W"][:, :-1].copy()}, "W of shape (R, 36)", "[3, 35]"),
    ({"W": None}, "W as a constant initializer", "fed"),
    ({"bias": None}, "bias as a constant initializer", "fed"),
]


def message_of(model) -> str:
    with pytest.raises(Exception) as caught:
        paconv.InferenceSession(model.SerializeToString())
    return str(caught.value)


@pytest.mark.parametrize(("changes", "expected", "found"), MALFORMED, ids=lambda x: None)
def test_a_malformed_node_is_refused_by_name_with_expectation_and_finding(changes, expected, found):
    message = message_of(model_of(CASE, name="layer1.0.conv2", **changes))
    assert "paconv.PABitConv node 'layer1.0.conv2'" in message
    assert expected in message
    assert found in message


@pytest.mark.parametrize("name", ["W", "alpha", "v", "sign", "beta", "scale", "bias"])
def test_a_wrong_element_type_is_refused_by_node_and_type(name):
    message = message_of(model_of(CASE, **{name: CASE.inputs[name].astype(np.float64)}))
    assert "the_conv" in message and "double" in message and f"({name})" in message


@pytest.mark.parametrize(("changes", "expected", "found"), MALFORMED[:-2], ids=lambda x: None)
def test_the_python_checker_refuses_the_same_nodes(changes, expected, found):
    attributes = {k: changes.get(k, v) for k, v in CASE.attributes.items() if changes.get(k, v) is not None}
    inputs = {k: changes.get(k, v) for k, v in CASE.inputs.items()}
    if changes == {"weight_masks": [0, 1]}:  # codes are data: read by the kernels and by the reference
        check_parameters(attributes, inputs)
        return
    with pytest.raises(OpError):
        check_parameters(attributes, inputs)


@pytest.mark.parametrize(
    ("shape", "expected", "found"),
    [
        ((1, 7, 6, 6), "X of shape (B, 8, H, W)", "[1, 7, 6, 6]"),
        ((1, 8, 0, 6), "at least 3 x 3", "[1, 8, 0, 6]"),
        ((1, 8, 6, 0), "at least 3 x 3", "[1, 8, 6, 0]"),
    ],
)
def test_a_malformed_input_is_refused_and_the_session_stays_usable(shape, expected, found):
    session = paconv.InferenceSession(model_of(CASE).SerializeToString())
    with pytest.raises(Exception) as caught:
        session.run(None, {"X": np.zeros(shape, np.float32)})
    for part in ("paconv.PABitConv node 'the_conv'", expected, found):
        assert part in str(caught.value)
    assert session.run(None, {"X": CASE.X})[0].shape == (1, 8, 6, 6)


def test_padding_too_large_for_memory_is_an_error_and_not_a_crash():
    session = paconv.InferenceSession(model_of(CASE, pads=[0, 0, 1 << 30, 0]).SerializeToString())
    with pytest.raises(Exception, match="memory|allocat|Tensor|overflow|size"):
        session.run(None, {"X": CASE.X})

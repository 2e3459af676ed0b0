"""Windows as rows."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paconv.quantization.windows import Geometry, draw, windows

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(kernel=pairs, strides=pairs, dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
       pads=st.tuples(*[st.integers(0, 2)] * 4), size=st.tuples(st.integers(5, 9), st.integers(5, 9)))  # fmt: skip
def test_rows_are_what_a_convolution_reads(kernel, strides, dilations, pads, size):
    geometry = Geometry(kernel, strides, pads, dilations, 1)
    r = np.random.default_rng(0)
    x = r.integers(-8, 9, (2, 3, *size)).astype(np.float32)
    w = r.integers(-8, 9, (4, 3, *kernel)).astype(np.float32)
    node = onnx.helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=strides, dilations=dilations, pads=pads, kernel_shape=kernel
    )
    inputs = [onnx.helper.make_tensor_value_info(n, 1, a.shape) for n, a in (("x", x), ("w", w))]
    graph = onnx.helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="y")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    wanted = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x, "w": w})[0]
    assert wanted.shape[2:] == geometry.output_size(*size)
    at = np.arange(2 * wanted.shape[2] * wanted.shape[3])
    rows = windows(x, geometry, at, 0)
    found = rows.reshape(len(at), -1) @ w.reshape(4, -1).T
    assert np.array_equal(found, wanted.transpose(0, 2, 3, 1).reshape(len(at), 4))  # integers: exact


def test_padding_has_the_value_that_was_asked_for():
    x = np.zeros((1, 1, 2, 2), np.uint8)
    row = windows(x, Geometry((3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1), np.array([0]), 7)[0, 0]
    assert row.tolist() == [[7, 7, 7], [7, 0, 0], [7, 0, 0]] and row.dtype == np.uint8


@pytest.mark.parametrize("count", [1, 7, 40, 99])
def test_each_window_is_drawn_once_at_most(count):
    sizes = [10, 0, 25, 5]
    drawn = draw(sizes, count, np.random.default_rng(3))
    assert sum(map(len, drawn)) == min(count, 40)
    for size, at in zip(sizes, drawn, strict=True):
        assert (np.diff(at) > 0).all() and ((at >= 0) & (at < size)).all()

"""Which tensors are known not to be negative: by a table of graphs, and never against what onnxruntime computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from paconv.onnx_file.graph_view import GraphView
from paconv.quantization.rectified import rectified_tensors

CONSTANTS = {
    "zero": np.float32(0), "six": np.float32(6), "minus": np.float32(-1), "two": np.float32(2), "k": np.int64([0]),
    "sizes": np.int64([0, -1]), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]), "scales": np.float32([1, 1, 2, 2]),
    "slopes": np.float32([[[0.1]], [[0.2]]]), "gains": np.float32([1, -1]), "ends": np.int64([1]),
}  # fmt: skip

NOT_NEGATIVE = """
y = Relu(x)
y = Sigmoid(x)
y = HardSigmoid(x)
y = Softmax(x)
y = Abs(x)
y = Exp(x)
y = Softplus(x)
y = Clip(x, zero, six)
y = Mul(x, x)
y = Max(x, zero)
y = ReduceL2(x)
y = ThresholdedRelu(x)
r = Relu(x) y = Clip(r, minus, six)
r = Relu(x) y = Clip(r)
r = Relu(x) y = MaxPool<kernel_shape = [2, 2]>(r)
r = Relu(x) y = AveragePool<kernel_shape = [2, 2]>(r)
r = Relu(x) y = GlobalAveragePool(r)
r = Relu(x) s = Sigmoid(x) y = Mul(r, s)
r = Relu(x) s = Abs(x) y = Concat<axis = 1>(r, s)
r = Relu(x) y = Add(r, two)
r = Relu(x) t = Transpose(r) y = Reshape(t, sizes)
r = Relu(x) y = Slice(r, k, ends)
r = Relu(x) y = Pad(r, pads)
r = Relu(x) y = Resize<mode = "linear">(r, , scales)
r = Relu(x) y = LeakyRelu(r)
r = Relu(x) y = PRelu(r, slopes)
r = Relu(x) y = ReduceMean(r)
r = Relu(x) y, z = Split<num_outputs = 2>(r)
r = Relu(x) c = Greater(x, r) y = Where(c, r, two)
r = Relu(x) y = HardSwish(r)
r = Relu(x) y = Identity(r)
""".strip().splitlines()

UNKNOWN = """
y = Identity(x)
y = HardSwish(x)
y = LeakyRelu(x)
y = Tanh(x)
s = Sigmoid(x) y = Mul(x, s)
y = Elu(x)
y = Clip(x, minus, six)
y = Clip(x)
r = Relu(x) y = Add(r, x)
r = Relu(x) y = Sub(r, two)
y = Neg(x)
r = Relu(x) y = Concat<axis = 1>(r, x)
r = Relu(x) y = Mul(r, minus)
r = Relu(x) y = Pad(r, pads, minus)
r = Relu(x) y = Resize<mode = "cubic">(r, , scales)
y = PRelu(x, slopes)
y = Mul(x, two)
y = Round(x)
r = Relu(x) y = InstanceNormalization(r, gains, gains)
y = MaxPool<kernel_shape = [2, 2]>(x)
y = Min(x, two)
r = Relu(x) y = Clip(r, minus, minus)
r = Relu(x) c = Greater(x, r) y = Where(c, r, x)
y = LogSoftmax(x)
""".strip().splitlines()


def graph(body: str) -> onnx.ModelProto:
    text = f'<ir_version: 8, opset_import: ["" : 18]>\ng (float[2,2,6,6] x) => (float[] y) {{{body}}}'
    model = onnx.parser.parse_model(text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in CONSTANTS.items())
    return model


def computed(model: onnx.ModelProto) -> np.ndarray:
    x = 3 * np.random.default_rng(0).standard_normal((2, 2, 6, 6), np.float32)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0]


@pytest.mark.parametrize("body", NOT_NEGATIVE)
def test_it_is_known_not_to_be_negative_and_is_not(body):
    model = graph(body)
    assert "y" in rectified_tensors(GraphView(model.graph))
    assert (computed(model) >= 0).all()


@pytest.mark.parametrize("body", UNKNOWN)
def test_nothing_is_said_of_what_may_be_negative(body):
    assert "y" not in rectified_tensors(GraphView(graph(body).graph))


def test_constants_count_by_their_values():
    found = rectified_tensors(GraphView(graph("a = Add(x, two) b = Mul(a, minus) y = Mul(b, gains)").graph))
    assert found & {"two", "minus", "gains", "a", "b", "y"} == {"two"}

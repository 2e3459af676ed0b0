"""Linear layers quantized as 1x1 convolutions."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

import paconv
from paconv.errors import UsageError
from paconv.onnx_file.plain import plain_model
from paconv.quantization.linear_layers import with_linear_as_convolutions
from tests.quantization.networks import images

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
network (float[batch, 3, 12, 12] image) => (float[batch, 5] scores) {
  a = Conv <kernel_shape = [3, 3], strides = [3, 3]> (image, stem_w)
  b = Relu (a)
  c = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (b, body_w)
  d = Relu (c)
  e = Flatten (d)
  f = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (e, first_w, first_b)
  g = Relu (f)
  h = MatMul (g, second_w)
  i = Add (h, second_b)
  j = HardSwish (i)
  k = Gemm (j, third_w, third_b)
  l = Relu (k)
  scores = Gemm <transB = 1> (l, head_w)
}
"""
SHAPES = {
    "stem_w": (8, 3, 3, 3), "body_w": (16, 8, 3, 3), "first_w": (24, 64), "first_b": (24,), "second_w": (24, 32),
    "second_b": (32,), "third_w": (32, 20), "third_b": (1, 1), "head_w": (5, 20),
}  # fmt: skip


def network() -> onnx.ModelProto:
    r = np.random.default_rng(0)
    model = onnx.parser.parse_model(GRAPH)
    for name, shape in SHAPES.items():
        fan = shape[0] if name in ("second_w", "third_w") else np.prod(shape[1:])
        value = r.standard_normal(shape) * (0.1 if name.endswith("b") else np.sqrt(2 / fan))
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def outputs(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(model.SerializeToString()).run(None, {"image": x})[0]


def test_as_convolutions_they_compute_the_same():
    source, x = plain_model(network()), images(7)
    made = with_linear_as_convolutions(source, {"f", "h", "k"})
    assert [node.op_type for node in made.model.graph.node].count("Conv") == 5
    wanted = outputs(network(), x)
    rounding = 1e-5 * float(np.abs(wanted).max())  # sums of at most 64 products, in another order
    assert outputs(made.model, x) == pytest.approx(wanted, abs=rounding)


def test_they_stay_real_unless_asked_for_and_heads_and_kept_ones_do_even_then(tmp_path):
    x = images(256)
    real, quantized = (paconv.quantize(network(), x, linear=linear) for linear in ("real", "pa"))
    assert [layer.name for layer in real.pa] == ["c"]
    assert [layer.name for layer in quantized.pa] == ["c", "f", "h", "k"]
    assert quantized.parameters_share > 3 * real.parameters_share
    kept = paconv.quantize(network(), x, linear="pa", keep="h")
    assert {layer.name: layer.code for layer in kept.layers if layer.code}["h"] == "linear"
    assert [layer.name for layer in kept.pa] == ["c", "f", "k"]
    with pytest.raises(UsageError, match="linear must be 'real' or 'pa'"):
        paconv.quantize(network(), x, linear="all")


@pytest.mark.parametrize("fast", [False, True])
def test_what_optimize_makes_of_them_has_the_same_bits(tmp_path, fast):
    found = paconv.quantize(network(), images(200), 8, 7, linear="pa", fast=fast, output=tmp_path / "model.onnx")
    assert found.outputs[0].error < 0.25
    paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    ops = [node.op_type for node in onnx.load(tmp_path / "pa.onnx").graph.node]
    assert sum(op in ("PABitConv", "PALevelConv") for op in ops) == 4
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok

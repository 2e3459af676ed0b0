"""The 8-bit form: integers where float was, the same function within the error of 8 bits, quiet."""

import logging

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from paconv.bench.int8 import quantize
from paconv.cost.host.probe import conv, float_layer
from paconv.errors import ModelError
from tests.bench.test_models import saved

LAYER = conv(3, 16, 5)


def run(path, x: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"X": x})[0]


def test_a_float_layer_becomes_one_of_8_bit_weights_and_computes_nearly_the_same(tmp_path, caplog):
    source = saved(float_layer(LAYER), tmp_path / "float.onnx")
    xs = np.random.default_rng(0).standard_normal((4, *LAYER.input_shape), np.float32)
    quantize(source, tmp_path / "int8.onnx", [{"X": x} for x in xs])
    model = onnx.load(tmp_path / "int8.onnx")
    assert {"QuantizeLinear", "DequantizeLinear"} <= {n.op_type for n in model.graph.node}
    weights = [i for i in model.graph.initializer if tuple(i.dims) == LAYER.weight_shape]
    assert [w.data_type for w in weights] == [onnx.TensorProto.INT8]
    want, got = run(source, xs[0]), run(str(tmp_path / "int8.onnx"), xs[0])
    # 27 products of values within 4 sigma, each side off by half a step of 8/255: a few steps in all
    assert np.abs(want - got).max() < 0.05 * np.abs(want).max()
    assert not caplog.records and logging.root.manager.disable == logging.NOTSET


def test_what_cannot_be_quantized_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match="can't quantize"):
        quantize(tmp_path / "junk.onnx", tmp_path / "int8.onnx", [])
    assert [path.name for path in tmp_path.iterdir()] == ["junk.onnx"]

"""8-bit forms of float models: integers where float was, the same function within the error of 8 bits, quiet; and what
is said of them holds on a CPU that saturates as on one that doesn't.
"""

import logging

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from paconv.bench.int8 import quantize
from paconv.bench.int8_form import REDUCED, S8S8, U8S8, Form, advised, int8_advice, saturates
from paconv.bench.int8_reading import forms_of, is_float
from paconv.cost.host.probe import bit_conv, conv, float_layer, integer_conv
from paconv.errors import ModelError
from paconv.studies.speed.int8_layer import integer_layer
from tests.bench.test_models import saved

LAYER = conv(3, 16, 5)

FORMS = pytest.mark.parametrize("form", [U8S8, REDUCED, S8S8], ids=lambda form: form.name)


def run(path, x: np.ndarray, fused: bool = True) -> np.ndarray:
    """fused: 8-bit nodes in 8-bit kernels, as it is served; otherwise node by node, the products in float."""
    options = ort.SessionOptions()
    if not fused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"X": x})[0]


def made(folder, form: Form) -> tuple[str, str, np.ndarray]:
    """(float file, 8-bit file, an input that it was calibrated on)."""
    source, output = saved(float_layer(LAYER), folder / "float.onnx"), str(folder / "int8.onnx")
    xs = np.random.default_rng(0).standard_normal((4, *LAYER.input_shape), np.float32)
    quantize(source, output, [{"X": x} for x in xs], form)
    return source, output, xs[0]


@pytest.mark.parametrize("opset", [9, 11])
def test_a_float_file_of_an_old_opset_becomes_a_valid_one(opset, tmp_path):
    model = float_layer(LAYER)
    model.opset_import[0].version = opset
    source, output = saved(model, tmp_path / "float.onnx"), str(tmp_path / "int8.onnx")
    x = np.random.default_rng(0).standard_normal(LAYER.input_shape, np.float32)
    quantize(source, output, [{"X": x}], S8S8)
    onnx.checker.check_model(output, full_check=True)
    assert np.abs(run(output, x, fused=False) - run(source, x)).max() < step(S8S8)


def step(form: Form) -> float:
    """A bound of |8-bit output - float output|, the sum of 27 products of weights w and activations x, both standard
    normal. Rounding w to steps of s is off by s / sqrt(12) (one sigma), and x likewise, so the sum by that times
    sqrt(27), of which six sigma are taken; the output is rounded to half a step. Steps: |w|, |x| < 4.5 and |y| < 4.5
    sqrt(27).
    """
    w, x, y = 4.5 / form.largest, 9 / 255, 9 * 27**0.5 / 255
    return 6 * 27**0.5 * (w + x) / 12**0.5 + y / 2


@FORMS
def test_a_float_layer_becomes_one_of_8_bit_weights_and_as_it_is_written_computes_nearly_the_same(
    form, tmp_path, caplog
):
    source, output, x = made(tmp_path, form)
    model = onnx.load(output)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {n.op_type for n in model.graph.node}
    (weight,) = [numpy_helper.to_array(i) for i in model.graph.initializer if tuple(i.dims) == LAYER.weight_shape]
    assert weight.dtype == np.int8 and np.abs(weight.astype(int)).max() == form.largest
    assert np.abs(run(source, x) - run(output, x, fused=False)).max() < step(form)
    assert not caplog.records and logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize("form", dict.fromkeys([REDUCED, int8_advice().form]), ids=lambda form: form.name)
def test_the_form_for_this_cpu_and_7_bit_weights_are_served_as_they_are_written(form, tmp_path):
    source, output, x = made(tmp_path, form)
    assert np.abs(run(source, x) - run(output, x)).max() < step(form)
    assert not saturates(form)


def test_a_form_is_off_by_more_than_its_steps_just_where_it_is_said_to_saturate(tmp_path):
    source, output, x = made(tmp_path, U8S8)
    assert (np.abs(run(source, x) - run(output, x)).max() > step(U8S8)) == saturates(U8S8)
    assert (integer_layer(LAYER, U8S8).error.largest > step(U8S8)) == saturates(U8S8)


@FORMS
def test_a_layers_error_is_of_the_order_of_its_steps_where_it_does_not_saturate(form):
    if not saturates(form):
        error = integer_layer(LAYER, form).error
        assert 0 < error.largest < step(form)
        # the largest of 400 normal outputs lies between 2 and 4.5 sigma
        assert 2 * 27**0.5 < error.largest / error.relative < 4.5 * 27**0.5


@pytest.mark.parametrize(
    ("features", "machine", "form", "cpu"),
    [
        (["avx2", "fma"], "x86_64", REDUCED, "x86-64 without VNNI"),
        (["avx2", "avx512f", "avx512bw"], "x86_64", REDUCED, "x86-64 without VNNI"),
        ([], "AMD64", REDUCED, "x86-64 without VNNI"),
        (["avx2", "avx_vnni"], "x86_64", U8S8, "x86-64 with VNNI"),
        (["avx512f", "avx512_vnni"], "AMD64", U8S8, "x86-64 with VNNI"),
        (["asimd", "asimddp"], "aarch64", S8S8, "ARM"),
        ([], "arm64", S8S8, "ARM"),
        ([], "riscv64", S8S8, "CPUs other than x86-64"),
    ],
)
def test_the_form_is_chosen_by_the_cpus_features(features, machine, form, cpu):
    assert advised(features, machine) == (form, cpu)


def test_the_advice_for_this_cpu_does_not_saturate_and_says_whether_the_usual_form_does():
    advice = int8_advice()
    assert not saturates(advice.form) and advice.saturates == saturates(U8S8)
    assert advice.as_data() == {
        "form": advice.form.name, "advised_for": advice.cpu, "u8s8_saturates": advice.saturates,
    }  # fmt: skip
    (line,) = advice.lines
    assert ("doesn't saturate" in line) != advice.saturates


@FORMS
def test_a_model_tells_the_form_that_it_was_quantized_in(form, tmp_path):
    source, output, _ = made(tmp_path, form)
    assert forms_of(onnx.load(output)) == [form] and forms_of(onnx.load(source)) == []
    assert is_float(onnx.load(source)) and not is_float(onnx.load(output))


def test_8_bit_operators_tell_their_form_too():
    assert forms_of(integer_conv(LAYER)) == [Form("uint8", "int8", 128, qdq=False)]
    assert forms_of(integer_layer(LAYER, S8S8).model) == [Form("int8", "int8", 127, qdq=False)]
    assert not is_float(integer_conv(LAYER)) and not is_float(bit_conv(LAYER, 2, 2))


def test_pairs_of_products_fit_16_bits_with_7_bit_weights_alone():
    assert 255 * 2 * REDUCED.largest <= np.iinfo(np.int16).max < 255 * 2 * (REDUCED.largest + 1)
    assert [f.may_saturate for f in (U8S8, REDUCED, S8S8, Form("uint8", "uint8", 255))] == [True, False, True, False]
    assert not Form("int8", "int8", 127, qdq=False).may_saturate
    assert [f.name for f in (U8S8, REDUCED, S8S8, Form("uint8", "uint8", 255))] == [
        "U8S8", "U8S8, 7-bit weights", "S8S8", "U8U8",
    ]  # fmt: skip


def test_what_cannot_be_quantized_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match="can't quantize"):
        quantize(tmp_path / "junk.onnx", tmp_path / "int8.onnx", [], U8S8)
    assert [path.name for path in tmp_path.iterdir()] == ["junk.onnx"]

"""`bench`: the same arrays for every model, ratios of the best calls, and one line for what can't be compared."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from paconv.bench.int8 import quantize
from paconv.bench.int8_form import REDUCED, U8S8, Advice
from paconv.bench.models import ModelBench, SessionTime, bench
from paconv.bench.output_error import output_error
from paconv.bench.tables import sessions_table
from paconv.cost.host.probe import bit_conv, conv, float_layer
from paconv.errors import ModelError, UsageError
from paconv.measure.timing import Timing
from paconv.reporting.tables import plain

LAYER = conv(8, 16, 5)


def saved(model: onnx.ModelProto, path) -> str:
    if not model.graph.output[0].type.tensor_type.HasField("shape"):  # a file has to say it
        for size in LAYER.output_shape:
            model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = size
    onnx.save(model, path)
    return str(path)


def add(path, name="X", shape=(1, 8, 5, 5), kind=TensorProto.FLOAT, inputs=1) -> str:
    names = [name, "other"][:inputs]
    node = helper.make_node("Add", [names[0], names[-1]], ["Y"])
    infos = [helper.make_tensor_value_info(n, kind, shape) for n in names]
    graph = helper.make_graph([node], "add", infos, [helper.make_tensor_value_info("Y", kind, None)])
    return saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return saved(bit_conv(LAYER, 2, 1), tmp_path_factory.mktemp("models") / "pa.onnx")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return saved(float_layer(LAYER), tmp_path_factory.mktemp("models") / "float.onnx")


def test_every_model_is_timed_at_every_thread_count(packed, real):
    result = bench(packed, [real], threads=[1, 2, 1], seconds=0.01)
    assert [(s.file, s.threads) for s in result.sessions] == [(packed, 1), (packed, 2), (real, 1), (real, 2)]
    assert all(0 < s.timing.best <= s.timing.median and s.timing.calls >= 3 for s in result.sessions)
    assert result.options["inputs"] == {"X": [1, 8, 5, 5]} and result.layers == []


def test_ratios_are_those_of_the_best_calls_at_the_same_thread_count():
    sessions = [
        SessionTime("pa", 1, 10, Timing(2.0, 9.0, 3)), SessionTime("pa", 2, 10, Timing(1.0, 9.0, 3)),
        SessionTime("float", 1, 40, Timing(6.0, 7.0, 3)), SessionTime("float", 2, 40, Timing(4.0, 7.0, 3)),
    ]  # fmt: skip
    data = ModelBench({}, {}, sessions).as_data()
    assert [s["model_is_times_as_fast"] for s in data["sessions"]] == [1.0, 1.0, 3.0, 4.0]


def test_each_layer_is_timed_with_its_kernel_and_its_work_counted(packed):
    result = bench(packed, seconds=0.01, per_layer=True, kernel="planes", batch=1)
    (layer,) = result.layers
    macs = 16 * 25 * 8 * 9
    assert (layer.kernel, layer.reason, layer.planes, layer.layer.macs) == ("planes", "forced", (2, 1), macs)
    assert layer.macs_per_second == macs / layer.timing.best
    assert layer.bit_operations_per_second == 2 * macs / layer.timing.best
    assert result.peaks is not None and result.peaks.planes[2, 1] > 0


def test_the_one_input_of_another_model_may_have_another_name(packed, tmp_path):
    assert len(bench(packed, [add(tmp_path / "named.onnx", name="image")], seconds=0.01).sessions) == 2


@pytest.fixture
def saturating(monkeypatch, request):
    """The advice of a CPU that saturates or doesn't, whatever this one does."""
    advice = Advice(REDUCED, "a CPU", True) if request.param else Advice(U8S8, "a CPU", False)
    monkeypatch.setattr("paconv.bench.int8_models.int8_advice", lambda: advice)
    return request.param


@pytest.mark.parametrize("saturating", [True, False], indirect=True)
def test_the_8_bit_opponent_is_made_from_the_float_model_and_its_error_told(packed, real, saturating):
    result = bench(packed, [real], seconds=0.01, threads=[1, 2], int8=True)
    assert [(s.file, s.threads) for s in result.sessions[-2:]] == [(f"{real}, int8", 1), (f"{real}, int8", 2)]
    int8 = result.sessions[-1].int8
    assert [s.int8 for s in result.sessions[:-2]] == [None] * 4
    assert (int8.name, int8.saturates) == (REDUCED.name if saturating else U8S8.name, False)
    assert int8.error.largest > 0 and (int8.u8s8_error is not None) == saturating
    assert ("in U8S8 with weights of 8 bits, which saturates" in plain(sessions_table(result))) == saturating
    data = result.as_data()
    assert data["int8"]["u8s8_saturates"] == saturating and data["options"]["int8"] is True
    assert data["sessions"][-1]["int8"]["error"] == int8.error.as_data()


@pytest.mark.parametrize("saturating", [True, False], indirect=True)
def test_a_given_8_bit_model_has_its_form_and_error_told_and_whether_it_saturates(packed, real, saturating, tmp_path):
    feeds = {"X": np.random.default_rng(0).standard_normal(LAYER.input_shape, np.float32)}
    np.savez(tmp_path / "x.npz", **feeds)
    paths = [tmp_path / "whole.onnx", Path(real), tmp_path / "seven.onnx"]
    quantize(real, paths[0], [feeds], U8S8)
    quantize(real, paths[2], [feeds], REDUCED)
    result = bench(packed, paths, seconds=0.01, inputs=tmp_path / "x.npz")
    _, whole, _, seven = [s.int8 for s in result.sessions]
    assert (whole.name, whole.saturates, whole.u8s8_error) == ("U8S8", saturating, None)
    assert (seven.name, seven.saturates) == ("U8S8, 7-bit weights", False)
    found = [ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds) for path in paths]
    assert [m.error for m in (whole, seven)] == [output_error(found[1], y) for y in (found[0], found[2])]
    text = plain(sessions_table(result))
    assert ("whole.onnx saturates on this CPU" in text) == saturating and "seven.onnx saturates" not in text
    assert "U8S8, 7-bit weights" in text and str(seven.error) in text


def test_an_8_bit_model_without_a_float_one_has_no_error(packed, real, tmp_path):
    quantize(real, tmp_path / "int8.onnx", [{"X": np.ones(LAYER.input_shape, np.float32)}], REDUCED)
    result = bench(packed, [tmp_path / "int8.onnx"], seconds=0.01)
    assert result.sessions[1].int8.error is None and result.as_data()["sessions"][1]["int8"]["error"] is None
    with pytest.raises(UsageError, match="int8: expected a float model to quantize"):
        bench(packed, [tmp_path / "int8.onnx"], seconds=0.01, int8=True)


def test_without_8_bit_models_nothing_is_said_of_them(packed, real):
    result = bench(packed, [real], seconds=0.01)
    assert result.advice is None and result.as_data()["int8"] is None
    assert "8-bit" not in plain(sessions_table(result))


def test_given_arrays_are_fed(packed, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, X=np.zeros((1, 8, 5, 5), np.float32))
    assert bench(packed, seconds=0.01, inputs=path).options["seed"] is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"shape": (1, 8, 6, 5)}, r"expected an input of float \[1, 8, 5, 5\].*\[1, 8, 6, 5\]"),
        ({"shape": (8, 5, 5)}, "expected an input of float"),
        ({"kind": TensorProto.INT32}, r"tensor\(int32\)"),
        ({"inputs": 2}, "expected the inputs X; found X, other"),
    ],
)
def test_a_model_with_other_inputs_is_refused(packed, tmp_path, other, message):
    with pytest.raises(UsageError, match=message):
        bench(packed, [add(tmp_path / "other.onnx", **other)], seconds=0.01)


def test_what_cannot_be_measured_is_refused(packed, real, tmp_path):
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match="no such file"):
        bench(packed, [tmp_path / "none.onnx"])
    with pytest.raises(ModelError, match="junk.onnx: onnxruntime can't run the model"):
        bench(packed, [tmp_path / "junk.onnx"])
    with pytest.raises(ModelError, match="found no PABitConv"):
        bench(real, per_layer=True)
    for options in ({"threads": [0]}, {"threads": []}, {"threads": [True]}, {"seconds": 0}, {"batch": 0},
                    {"kernel": "fastest"}):  # fmt: skip
        with pytest.raises(UsageError):
            bench(packed, **options)


def test_a_model_of_ops_that_are_not_registered_is_one_clear_error(packed, tmp_path):
    model = onnx.load(add(tmp_path / "foreign.onnx"))
    model.graph.node[0].CopyFrom(helper.make_node("Magic", ["X"], ["Y"], domain="elsewhere"))
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    with pytest.raises(ModelError, match="foreign.onnx: onnxruntime can't run the model"):
        bench(packed, [saved(model, tmp_path / "foreign.onnx")], seconds=0.01)

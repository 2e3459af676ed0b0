"""The ways to serve a model: by path, by session options, by the short way, and without the library."""

import numpy as np
import onnxruntime as ort

import paconv
from tests.bit_conv_cases import make_case, model_of

CASE = make_case(np.random.default_rng(0))
MODEL = model_of(CASE)


def test_every_way_of_registering_gives_the_same_bits(tmp_path):
    path = tmp_path / "pa.onnx"
    path.write_bytes(MODEL.SerializeToString())
    by_path, by_options = ort.SessionOptions(), ort.SessionOptions()
    by_path.register_custom_ops_library(paconv.library_path())
    assert paconv.register(by_options) is by_options
    sessions = [
        ort.InferenceSession(path, by_path, providers=["CPUExecutionProvider"]),
        ort.InferenceSession(path, by_options, providers=["CPUExecutionProvider"]),
        paconv.InferenceSession(path),
        paconv.InferenceSession(MODEL.SerializeToString(), ort.SessionOptions()),
    ]
    assert len({s.run(None, {"X": CASE.X})[0].tobytes() for s in sessions}) == 1


def test_with_the_library_the_kernel_runs_and_without_it_the_function_body(tmp_path):
    def ops_after_loading(options):
        options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        ort.InferenceSession(MODEL.SerializeToString(), options, providers=["CPUExecutionProvider"])
        import onnx

        return {n.op_type for n in onnx.load(tmp_path / "loaded.onnx").graph.node}

    assert ops_after_loading(paconv.register(ort.SessionOptions())) == {"PABitConv"}
    assert "Conv" in ops_after_loading(ort.SessionOptions())


def test_the_library_infers_the_output_shape_where_the_size_is_known():
    model = model_of(CASE, x_shape=["batch", 8, 6, 6])
    model.graph.output[0].type.tensor_type.ClearField("shape")
    session = paconv.InferenceSession(model.SerializeToString())
    assert session.get_outputs()[0].shape == ["batch", 8, 6, 6]


def test_serving_imports_neither_torch_nor_the_exporter():
    import subprocess
    import sys

    code = (
        "import sys, paconv; paconv.library_path(); paconv.InferenceSession;"
        "print([m for m in ('torch', 'numba', 'llvmlite', 'onnxscript', 'onnx_graphsurgeon') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

"""`paconv.deploy`: what it writes is what Triton's onnxruntime backend reads, and serves as the model does.

Triton itself isn't run. The backend's steps are taken instead: the configuration read by Triton's schema, each library
in it registered by the path that stands there, and a session made of 1/model.onnx.
"""

import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import paconv
from paconv.errors import ModelError, UsageError
from tests.deployment.triton_schema import parse_config, schema
from tests.passes.graphs import model, ops, pa_constants, pa_conv

BODY = "q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) y = Conv(q, W_bar)"


@pytest.fixture(autouse=True)
def the_built_library(monkeypatch):
    monkeypatch.delenv("PACONV_JIT", raising=False)


@pytest.fixture
def pa(tmp_path):
    """An optimized model with one PABitConv, of free batch, height and width."""
    constants = pa_constants(np.random.default_rng(0), 4, 4, 3, 3)
    path = tmp_path / "pa.onnx"
    paconv.optimize(model(f"g (float[b,4,h,w] x) => (float[b,4,oh,ow] y) {{ {BODY} }}", **constants), path)
    return path


def test_a_model_of_linked_convolutions_alone_gets_the_library(tmp_path):
    constants = pa_constants(np.random.default_rng(0), 4, 4, 3, 3)
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "y")
    linked = model(f"g (float[b,4,h,w] x) => (float[b,4,h,w] y) {{ {body} }}", **constants)
    fused = paconv.optimize(linked, tmp_path / "pa.onnx").model
    assert "PABitConv" not in ops(fused)
    repository = tmp_path / "repository"
    deployed = paconv.deploy(tmp_path / "pa.onnx", repository, served_at=str(repository))
    assert deployed.machine is not None and (deployed.folder / "libpaconv.so").exists()
    session, _ = backend_session(deployed.folder)
    assert session.run(None, {"x": np.zeros((1, 4, 5, 5), np.float32)})[0].shape == (1, 4, 5, 5)


@pytest.fixture
def stock(tmp_path):
    path = tmp_path / "relu.onnx"
    onnx.save(model("g (float[b,4] x) => (float[b,4] y) { y = Relu(x) }"), path)
    return path


def library_for(path, machine, kind=3, exported=b"RegisterCustomOps"):
    """A file that is a shared library by its first and last bytes."""
    header = (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", kind, machine)).ljust(64, b"\0")
    path.write_bytes(header + b"\0" + exported + b"\0")
    return path


def backend_session(folder):
    """The session that Triton's onnxruntime backend makes of the model in `folder`, and its configuration."""
    config = parse_config((folder / "config.pbtxt").read_text())
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(config.parameters["intra_op_thread_count"].string_value or 0)
    for library in config.model_operations.op_library_filename:
        options.register_custom_ops_library(library)
    return ort.InferenceSession(folder / "1" / "model.onnx", options, providers=["CPUExecutionProvider"]), config


def test_the_repository_has_the_model_its_configuration_and_the_library(pa, tmp_path):
    done = paconv.deploy(pa, tmp_path / "repository", name="net")
    files = sorted(p.relative_to(tmp_path / "repository").as_posix() for p in done.folder.rglob("*") if p.is_file())
    assert files == ["net/1/model.onnx", "net/config.pbtxt", "net/libpaconv.so"]
    assert (done.folder / "1" / "model.onnx").read_bytes() == pa.read_bytes()
    assert parse_config((done.folder / "config.pbtxt").read_text()).name == "net"


def test_the_library_is_named_by_its_path_in_the_server(pa, tmp_path):
    done = paconv.deploy(pa, tmp_path / "repository", served_at="/mnt/models")
    config = parse_config((done.folder / "config.pbtxt").read_text())
    assert list(config.model_operations.op_library_filename) == ["/mnt/models/pa/libpaconv.so"]


def test_the_configuration_agrees_with_the_session_in_names_types_and_shapes(pa, tmp_path):
    session, config = backend_session(paconv.deploy(pa, tmp_path / "r", served_at=str(tmp_path / "r")).folder)
    assert config.max_batch_size > 0
    for tensors, found in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        for tensor, of_session in zip(tensors, found, strict=True):
            assert tensor.name == of_session.name and of_session.type == "tensor(float)"
            assert tensor.data_type == schema().DataType.Value("TYPE_FP32")
            free = [-1 if not isinstance(size, int) else size for size in of_session.shape]
            assert [-1, *tensor.dims] == free


def test_two_deployed_models_serve_in_one_process_as_python_does(pa, tmp_path):
    repository = tmp_path / "repository"
    options = {"served_at": str(repository), "threads": 1}
    folders = [paconv.deploy(pa, repository, name=name, **options).folder for name in ("one", "two")]
    x = np.random.default_rng(1).normal(size=(5, 4, 9, 7)).astype(np.float32)
    expected = paconv.InferenceSession(pa).run(None, {"x": x})[0]
    sessions = [backend_session(folder)[0] for folder in folders]
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(lambda i: sessions[i % 2].run(None, {"x": x})[0], range(16)):
            assert y.tobytes() == expected.tobytes()


def test_a_model_without_bit_conv_needs_no_library(stock, tmp_path):
    done = paconv.deploy(stock, tmp_path / "repository")
    assert done.machine is None and not (done.folder / "libpaconv.so").exists()
    session, config = backend_session(done.folder)
    assert not config.HasField("model_operations")
    assert session.run(None, {"x": -np.ones((2, 4), np.float32)})[0].sum() == 0


def test_external_data_comes_along(tmp_path):
    weight = onnx.numpy_helper.from_array(np.arange(4096, dtype=np.float32).reshape(1, 4096), "W")
    source = tmp_path / "source" / "big.onnx"
    source.parent.mkdir()
    graph = model("g (float[b,4096] x) => (float[b,4096] y) { y = Add(x, W) }", W=onnx.numpy_helper.to_array(weight))
    onnx.save(graph, source, save_as_external_data=True, location="big.data")
    assert (source.parent / "big.data").exists()
    session, _ = backend_session(paconv.deploy(source, tmp_path / "repository").folder)
    assert np.array_equal(session.run(None, {"x": np.zeros((1, 4096), np.float32)})[0], np.arange(4096)[None])


def test_another_build_of_the_library_is_shipped_as_it_is(pa, tmp_path):
    library = library_for(tmp_path / "cross.so", 183)
    done = paconv.deploy(pa, tmp_path / "repository", library=library)
    assert done.machine == "aarch64"
    assert (done.folder / "libpaconv.so").read_bytes() == library.read_bytes()


def test_a_file_that_is_no_library_of_ours_is_refused(pa, tmp_path):
    text = tmp_path / "text.so"
    text.write_text("not a library")
    cases = {
        text: "expected a 64-bit Linux shared library",
        tmp_path / "missing.so": "No such file",
        library_for(tmp_path / "program", 62, kind=2): "exports RegisterCustomOps",
        library_for(tmp_path / "other.so", 62, exported=b"something_else"): "exports RegisterCustomOps",
    }
    for library, message in cases.items():
        with pytest.raises(UsageError, match=message):
            paconv.deploy(pa, tmp_path / "repository", library=library)
    assert not (tmp_path / "repository").exists()


def test_the_library_of_a_developing_process_is_not_shipped(pa, tmp_path, monkeypatch):
    monkeypatch.setenv("PACONV_JIT", "1")
    with pytest.raises(UsageError, match="PACONV_JIT=1 makes a library for its own process only"):
        paconv.deploy(pa, tmp_path / "repository")


def test_what_can_not_be_served_is_refused_before_anything_is_written(pa, tmp_path):
    text = tmp_path / "text.onnx"
    text.write_text("not a model at all")
    newer = onnx.load(pa)
    next(o for o in newer.opset_import if o.domain == "paconv").version = 99
    onnx.save(newer, tmp_path / "newer.onnx")
    for path, options, error in (
        (text, {}, ModelError),
        (tmp_path / "newer.onnx", {}, ModelError),
        (tmp_path / "missing.onnx", {}, ModelError),
        (pa, {"name": "../up"}, UsageError),
        (pa, {"name": ".hidden"}, UsageError),
        (pa, {"served_at": "models"}, UsageError),
        (pa, {"server": "another"}, UsageError),
    ):
        with pytest.raises(error):
            paconv.deploy(path, tmp_path / "repository", **options)
    assert not (tmp_path / "repository").exists()


def test_deploying_imports_no_torch(pa, tmp_path):
    script = "import sys, paconv; paconv.deploy(*sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, pa, tmp_path / "repository"], check=False)
    assert done.returncode == 0

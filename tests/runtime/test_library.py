"""The library that serves: alone in a process, and refused when it isn't the one these sources make."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import paconv
from paconv.errors import PaconvError
from paconv.kernels import native
from paconv.runtime import library
from paconv.runtime.elf import missing_bytes
from tests.bit_conv_cases import make_case, model_of


@pytest.fixture
def fresh():
    library.load_library.cache_clear()
    yield
    library.load_library.cache_clear()


def test_a_process_with_only_onnxruntime_and_numpy_can_use_it(tmp_path):
    case = make_case(np.random.default_rng(0))
    (tmp_path / "one.onnx").write_bytes(model_of(case).SerializeToString())
    np.save(tmp_path / "x.npy", case.X)
    code = f"""
import sys, numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.register_custom_ops_library({paconv.library_path()!r})
y = ort.InferenceSession("one.onnx", options, providers=["CPUExecutionProvider"]).run(None, {{"X": np.load("x.npy")}})
np.save("y.npy", y[0])
assert not [m for m in sys.modules if m.split(".")[0] in ("paconv", "numba", "llvmlite", "torch")]
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    expected = paconv.InferenceSession(tmp_path / "one.onnx").run(None, {"X": case.X})[0]
    assert np.load(tmp_path / "y.npy").tobytes() == expected.tobytes()


def test_an_onnxruntime_that_is_too_old_is_refused_by_version():
    command = [sys.executable, str(Path(__file__).with_name("too_old.py")), paconv.library_path()]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "paconv: expected onnxruntime 1.17 or newer; found 1.16.3"


def test_a_library_that_is_not_built_is_asked_for(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(library, "BUILT", tmp_path / "libpaconv.so")
    with pytest.raises(PaconvError, match="isn't built: `pip install .` or `paconv build-library`"):
        paconv.library_path()


def test_a_library_of_other_sources_is_refused(fresh, monkeypatch):
    monkeypatch.setattr(native, "library_info", lambda: "9.9.9 1 0123456789abcdef")
    with pytest.raises(PaconvError, match="built from other sources: expected .* 9.9.9 1 0123456789abcdef; found"):
        paconv.library_path()


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_a_library_that_is_cut_off_is_refused_before_it_is_mapped(fresh, monkeypatch, tmp_path, share):
    data = library.BUILT.read_bytes()
    (tmp_path / "libpaconv.so").write_bytes(data[: int(share * len(data))])
    monkeypatch.setattr(library, "BUILT", tmp_path / "libpaconv.so")
    with pytest.raises(PaconvError, match=r"can't be loaded: it is cut off, [\d,]+ bytes are missing; .* anew"):
        paconv.library_path()


def test_the_built_library_is_whole():
    assert missing_bytes(library.BUILT) == 0


def test_a_file_that_is_no_library_is_refused(fresh, monkeypatch, tmp_path):
    (tmp_path / "libpaconv.so").write_bytes(b"not a library")
    monkeypatch.setattr(library, "BUILT", tmp_path / "libpaconv.so")
    with pytest.raises(PaconvError, match="can't be loaded"):
        paconv.library_path()

"""PACONV_JIT=1: kernels compiled in the process, with the same bits as the built library's."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

import paconv
from paconv.kernels.registry import CHOICES
from tests.bit_conv_cases import make_case, model_of

CODE = """
import sys, numpy as np, paconv
y = paconv.InferenceSession("one.onnx", kernel=sys.argv[1]).run(None, {"X": np.load("x.npy")})[0]
assert "numba" in sys.modules and "jit" in paconv.library_path()
np.save("y.npy", y)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What one process compiled, the next ones take."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "grid"), [(kernel, (15, 0, 31)) for kernel in CHOICES] + [("planes", None)])
@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba isn't installed; JIT is for development")
def test_kernels_compiled_in_process_give_the_same_bits(tmp_path, cache, kernel, grid):
    case = make_case(np.random.default_rng(0), M=3, N=2, channels=40, out=20, offsets=True, grid=grid)
    (tmp_path / "one.onnx").write_bytes(model_of(case).SerializeToString())
    np.save(tmp_path / "x.npy", case.X)
    environment = os.environ | {"PACONV_JIT": "1", "PACONV_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", CODE, kernel], cwd=tmp_path, env=environment, check=True)
    expected = paconv.InferenceSession(tmp_path / "one.onnx", kernel=kernel).run(None, {"X": case.X})[0]
    assert np.load(tmp_path / "y.npy").tobytes() == expected.tobytes()

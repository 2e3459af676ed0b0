"""PACONV_JIT=1: kernels compiled in the process, with the same bits as the built library's."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import paconv
from paconv.kernels.registry import CHOICES
from tests.bit_conv_cases import make_case, model_of

CODE = """
import sys, numpy as np, paconv
for kernel in sys.argv[1:]:
    y = paconv.InferenceSession("one.onnx", kernel=kernel).run(None, {"X": np.load("x.npy")})[0]
    np.save(f"{kernel}.npy", y)
assert "numba" in sys.modules and "jit" in paconv.library_path()
"""

pytestmark = [
    pytest.mark.slow,  # all kernels of a level are compiled, most of a minute
    pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba isn't installed: JIT needs it"),
]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """(folder with one.onnx and what the kernels compiled in another process give, Y by kernel; X)."""
    folder = tmp_path_factory.mktemp("jit")
    case = make_case(np.random.default_rng(0), M=3, N=2, channels=40, out=20, offsets=True)
    (folder / "one.onnx").write_bytes(model_of(case).SerializeToString())
    np.save(folder / "x.npy", case.X)
    environment = os.environ | {"PACONV_JIT": "1", "PACONV_CACHE": str(folder / "cache")}
    subprocess.run([sys.executable, "-c", CODE, *CHOICES], cwd=folder, env=environment, check=True)
    return folder, case.X


@pytest.mark.parametrize("kernel", CHOICES)
def test_kernels_compiled_in_process_give_the_same_bits(compiled, kernel):
    folder, X = compiled
    expected = paconv.InferenceSession(folder / "one.onnx", kernel=kernel).run(None, {"X": X})[0]
    assert np.load(folder / f"{kernel}.npy").tobytes() == expected.tobytes()

"""The C++ example: the same bits as Python, and one clear line for what goes wrong. Needs make and a C++ compiler."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import paconv
from paconv.digits_images import held_out_digits
from paconv.runtime.library import active_cpu

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "examples" / "05_serve_from_cpp"

pytestmark = pytest.mark.skipif(
    tuple(map(int, ort.__version__.split(".")[:2])) < (1, 19),
    reason="the Python package of onnxruntime has its shared library only from 1.19 on",
)


@pytest.fixture(autouse=True)
def the_built_library(monkeypatch):
    monkeypatch.delenv("PACONV_JIT", raising=False)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    build = tmp_path_factory.mktemp("build")
    command = ["make", "-C", SOURCES, f"BUILD={build}", f"PYTHON={sys.executable}", "CXXFLAGS=-Werror"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return build / "serve"


@pytest.fixture(scope="module")
def pa(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    paconv.export(ROOT / "examples" / "digits_pa45.pt", folder / "model.onnx")
    paconv.optimize(folder / "model.onnx", folder / "pa.onnx")
    return folder / "pa.onnx"


def run(program, *arguments, environment=None):
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment or {}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("batch", [1, 64])
def test_the_program_gives_the_bits_that_python_gives(program, pa, tmp_path, batch):
    images = held_out_digits()[0][:batch]
    images.tofile(tmp_path / "input.bin")
    # Without any environment variable but the CPU's: nothing leads the program to a Python.
    result = run(program, pa, paconv.library_path(), tmp_path / "input.bin", tmp_path / "output.bin", *images.shape,
                 environment={"PACONV_CPU": active_cpu()})  # fmt: skip
    assert result == (0, f"output: {batch} 10\n", "")
    (expected,) = paconv.InferenceSession(pa).run(None, {"input": images})
    assert (tmp_path / "output.bin").read_bytes() == expected.tobytes()


def test_under_load_every_answer_has_the_bits_of_the_first_and_no_memory_is_kept(program, pa, tmp_path):
    images = held_out_digits()[0][:40]
    images.tofile(tmp_path / "input.bin")
    load = ("--seconds", 1, "--threads", 3, "--sessions", 2, "--batch", 4, "--reopen", 5, "--per-answer", 2)
    code, out, err = run(program, *load, pa, paconv.library_path(), tmp_path / "input.bin", tmp_path / "output.bin",
                         *images.shape, environment={"PACONV_CPU": active_cpu()})  # fmt: skip
    assert (code, err) == (0, ""), out
    lines = out.splitlines()
    assert lines[1] == "threads: 3, sessions: 2, samples of a request: 1 to 4, seconds: 1"
    assert len(lines) == 3 + 10 + 2
    found = re.fullmatch(
        r"(\d+) answers of (\d+) samples, each the right one to the bit; (\d+) sessions opened and closed", lines[-2]
    )
    assert found is not None
    answers, samples, opened = map(int, found.groups())
    assert answers <= samples <= 4 * answers and 3 <= opened <= answers // 5 + 3
    assert lines[-1].startswith("allocated ")


def test_what_goes_wrong_is_said_in_a_line(program, pa, tmp_path):
    given, answered, library = tmp_path / "input.bin", tmp_path / "output.bin", paconv.library_path()
    np.zeros(64, np.float32).tofile(given)
    shape = (1, 1, 8, 8)
    cases = {
        "does not exist|doesn't exist|failed": (tmp_path / "none.onnx", library, given, answered, *shape),
        "none.so": (pa, tmp_path / "none.so", given, answered, *shape),
        "cannot read": (pa, library, tmp_path / "none.bin", answered, *shape),
        "cannot write": (pa, library, given, tmp_path / "none" / "out.bin", *shape),
        "has 256 bytes; the shape needs 512": (pa, library, given, answered, 2, 1, 8, 8),
        "Invalid rank": (pa, library, given, answered, 1, 64),
        "expected a size, found x": (pa, library, given, answered, 1, 1, 8, "x"),
        "expected a number of threads, 1 or more, found 0": ("--threads", 0, pa, library, given, answered, *shape),
        "expected seconds, 1 or more, found long": ("--seconds", "long", pa, library, given, answered, *shape),
        "unknown option --time": ("--time", 3, pa, library, given, answered, *shape),
        "usage": (pa, library),
    }
    for message, arguments in cases.items():
        code, out, err = run(program, *arguments)
        assert (code, out) == (1, ""), err
        assert any(part in err for part in message.split("|")), err

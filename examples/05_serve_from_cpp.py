"""Serve pa.onnx from a C++ program, and compare with Python bit for bit.

    python examples/05_serve_from_cpp.py [pa.onnx]

Builds examples/05_serve_from_cpp (needs make and a C++17 compiler) against the onnxruntime of this Python, and runs it
on held-out digits, a single one and a batch. The program itself needs no Python: it loads onnxruntime's shared library
and paconv's. Without a file it serves out/demo/pa.onnx, which it has the command line make first if it isn't there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import paconv
from paconv.digits_images import held_out_digits

SOURCES = Path(__file__).with_suffix("")
CHECKPOINT = Path("examples/digits_pa45.pt")
BUILD = Path("out/serve_from_cpp")


def main() -> None:
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_model()
    program = build()
    session = paconv.InferenceSession(model)
    name = session.get_inputs()[0].name
    images, _ = held_out_digits()
    for batch in (images[:1], images):
        (by_python,) = session.run(None, {name: batch})
        by_cpp = serve(program, model, batch).reshape(by_python.shape)
        if by_cpp.tobytes() != by_python.tobytes():
            sys.exit(f"{batch.shape}: C++ and Python differ by up to {np.abs(by_cpp - by_python).max():.3g}")
        print(f"{batch.shape}: C++ and Python give the same bits")


def build() -> Path:
    """The program, compiled anew if its sources changed."""
    command = ["make", "-s", "-C", SOURCES, f"BUILD={BUILD.resolve()}", f"PYTHON={sys.executable}"]
    if subprocess.run(command, check=False).returncode:
        sys.exit("the program could not be built")
    return BUILD / "serve"


def serve(program: Path, model: Path, batch: np.ndarray) -> np.ndarray:
    """The first output for `batch`, as flat floats, by the C++ program."""
    given, answered = BUILD / "input.bin", BUILD / "output.bin"
    batch.astype(np.float32).tofile(given)
    command = [program.resolve(), model, paconv.library_path(), given, answered, *map(str, batch.shape)]
    if subprocess.run(command, check=False).returncode:
        sys.exit("the program failed")
    return np.fromfile(answered, np.float32)


def demo_model() -> Path:
    """out/demo/pa.onnx, made if it isn't there."""
    path = Path("out/demo/pa.onnx")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = path.with_name("model.onnx")
        subprocess.run([sys.executable, "-m", "paconv", "export", CHECKPOINT, "-o", model], check=True)
        subprocess.run([sys.executable, "-m", "paconv", "optimize", model, "-o", path, "--quiet"], check=True)
    return path


if __name__ == "__main__":
    main()

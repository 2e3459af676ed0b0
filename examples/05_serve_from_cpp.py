"""Serve pa.onnx from a C++ program, and compare with Python bit for bit.

    python examples/05_serve_from_cpp.py [pa.onnx]
    python examples/05_serve_from_cpp.py --seconds 600 --threads 4 --sessions 2 --batch 8 --reopen 100

Builds examples/05_serve_from_cpp (needs make and a C++17 compiler) against the onnxruntime of this Python, and runs it
on held-out digits, a single one and a batch. The program itself needs no Python: it loads onnxruntime's shared library
and paconv's. Without a file it serves out/demo/pa.onnx, which it has the command line make first if it isn't there.

With --seconds it then serves the digits under load: threads that share sessions ask for one to --batch digits at a
time, and every --reopen requests open a session, use and close it. Each answer has to have the bits of the first one,
and the program must hold no more memory in the end; resident memory is printed as it goes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import paconv
from paconv.digits_images import held_out_digits

SOURCES = Path(__file__).with_suffix("")
CHECKPOINT = Path("examples/digits_pa45.pt")
BUILD = Path("out/serve_from_cpp")


LOAD = {
    "seconds": "serve under load for so long",
    "threads": "that ask",
    "sessions": "that all threads share",
    "batch": "digits of a request, at most",
    "reopen": "requests after which a thread opens a session, uses and closes it",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve pa.onnx from a C++ program.")
    parser.add_argument("model", nargs="?", type=Path, metavar="pa.onnx")
    for option, meaning in LOAD.items():
        parser.add_argument(f"--{option}", type=int, metavar="N", help=meaning)
    options = parser.parse_args()
    if options.seconds is None and any(getattr(options, option) is not None for option in LOAD):
        parser.error("a load has --seconds")
    model = options.model or demo_model()
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
    if options.seconds is not None:
        load = [
            (f"--{option}", str(getattr(options, option))) for option in LOAD if getattr(options, option) is not None
        ]
        serve(program, model, images, [word for pair in load for word in pair])


def build() -> Path:
    """The program, compiled anew if its sources changed."""
    command = ["make", "-s", "-C", SOURCES, f"BUILD={BUILD.resolve()}", f"PYTHON={sys.executable}"]
    if subprocess.run(command, check=False).returncode:
        sys.exit("the program could not be built")
    return BUILD / "serve"


def serve(program: Path, model: Path, batch: np.ndarray, options: Sequence[str] = ()) -> np.ndarray:
    """The first output for `batch`, as flat floats, by the C++ program. options: its own."""
    given, answered = BUILD / "input.bin", BUILD / "output.bin"
    batch.astype(np.float32).tofile(given)
    command = [program.resolve(), *options, model, paconv.library_path(), given, answered, *map(str, batch.shape)]
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

"""Serve pa.onnx in a plain onnxruntime session: a single image, a batch, and the same file without our library.

    python examples/03_serve.py [pa.onnx]

Serving needs numpy, onnxruntime and paconv, but no torch. Without a file it serves out/demo/pa.onnx, which it has the
command line make first if it isn't there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

import paconv
from paconv.digits_images import held_out_digits

CHECKPOINT = Path("examples/digits_pa45.pt")


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_model()
    options = ort.SessionOptions()
    options.register_custom_ops_library(paconv.library_path())
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name  # its shape is (batch, 1, 8, 8), the batch is free
    images, labels = held_out_digits()

    (logits,) = session.run(None, {name: images[:1]})
    print(f"a single image {images[:1].shape}: it is a {logits.argmax()}, labelled {labels[0]}")

    (logits,) = session.run(None, {name: images})
    right = (logits.argmax(1) == labels).sum()
    print(f"a batch {images.shape}: {right} of {len(labels)} right")

    # Without the library onnxruntime runs PABitConv's function body, which is in the file: the same answers, slowly.
    stock = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (stock_logits,) = stock.run(None, {name: images})
    if (stock_logits.argmax(1) != logits.argmax(1)).any():
        sys.exit("without the library some predictions are others")
    print(f"without the library: equal predictions, logits within {np.abs(stock_logits - logits).max():.1e}")
    fast, slow = milliseconds(session, {name: images}), milliseconds(stock, {name: images})
    print(f"the batch takes {fast:.1f} ms with the library, {slow:.1f} ms without")


def milliseconds(session: ort.InferenceSession, feeds: dict[str, np.ndarray], repeats: int = 20) -> float:
    """The median time of a run."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


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

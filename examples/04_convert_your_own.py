"""Convert a network of your own: handwritten_resnet.py, which knows nothing of paconv, to pa.onnx.

    python examples/04_convert_your_own.py

Writes to out/convert_your_own. The network isn't trained; where you would train it and fine-tune it after the
conversion (01_train_digits.py shows how), random images stand in for data.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from handwritten_resnet import handwritten_resnet

import paconv
from paconv.nn import calibrate, conversion_report, settle_batch_norm

OUT = Path("out/convert_your_own")
CHECKPOINT, MODEL, OPTIMIZED = OUT / "model.pt", OUT / "model.onnx", OUT / "pa.onnx"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    images = torch.randn(64, 3, 32, 32)

    parent = handwritten_resnet()
    settle_batch_norm(parent, [images])  # stands for training the float network
    model = paconv.convert(parent, M=4, N=5)
    print(conversion_report(model))
    calibrate(model, [images])
    settle_batch_norm(model, [images])  # stands for fine-tuning
    paconv.save(model, CHECKPOINT, input_shape=(3, 32, 32))

    # A checkpoint holds weights and the record of the conversion, no code: the command line has to be told which
    # function makes the float network.
    run("export", CHECKPOINT, "--model", "examples.handwritten_resnet:handwritten_resnet", "-o", MODEL)
    run("optimize", MODEL, "-o", OPTIMIZED, "--verify")


def run(*arguments: str | Path) -> None:
    """Run `paconv` with these arguments, as from the shell; leave if it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ paconv {' '.join(words)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "paconv", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()

"""ResNet18 at 224x224 on this machine, one image on one thread: float, and PA of several M and N.

    python examples/06_compare_speed.py

Writes to out/compare_speed. The weights are random: time and size don't depend on them. The sessions take turns, and
the best of their runs counts, so that what else the machine does matters little; compare ratios, not milliseconds.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

import paconv
from paconv.models import resnet18
from paconv.nn import calibrate, settle_batch_norm

OUT = Path("out/compare_speed")
PLANES = ((2, 1), (2, 2), (4, 5), (8, 7))
RUNS = 15


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    images = torch.randn(4, 3, 224, 224)
    parent = resnet18()
    settle_batch_norm(parent, [images])
    paconv.export(parent, OUT / "float.onnx", (3, 224, 224))

    sessions = {"float": (OUT / "float.onnx", stock(OUT / "float.onnx"))}
    for M, N in PLANES:
        path = OUT / f"pa{M}{N}.onnx"
        model = paconv.convert(parent, M, N)
        calibrate(model, [images])
        settle_batch_norm(model, [images])
        paconv.export(model, OUT / "model.onnx", (3, 224, 224))
        paconv.optimize(OUT / "model.onnx", path)
        sessions[f"PA({M},{N})"] = path, paconv.InferenceSession(path, one_thread())
    path = OUT / "pa45.onnx"
    sessions["PA(4,5) without the library"] = path, stock(path)

    best = fastest({name: session for name, (_, session) in sessions.items()}, images[:1].numpy())
    for name, (path, _) in sessions.items():
        ratio, megabytes = best["float"] / best[name], path.stat().st_size / 1e6
        print(f"{name:28} {1000 * best[name]:7.1f} ms, {ratio:5.2f} x float's speed, {megabytes:6.2f} MB")


def one_thread() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def stock(path: Path) -> ort.InferenceSession:
    """A session that knows nothing of paconv."""
    return ort.InferenceSession(path, one_thread(), providers=["CPUExecutionProvider"])


def fastest(sessions: dict[str, ort.InferenceSession], image: np.ndarray) -> dict[str, float]:
    """Seconds of each session's fastest run."""
    best = dict.fromkeys(sessions, float("inf"))
    for _ in range(1 + RUNS):  # the first run warms up, and is never the fastest
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(None, {"input": image})
            best[name] = min(best[name], time.perf_counter() - started)
    return best


if __name__ == "__main__":
    main()

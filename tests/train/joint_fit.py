"""Run in each of K processes, or alone: trains a PA net in float64 and writes the curve and the weights.

    python joint_fit.py RESULT.pt OPTIMIZER [RUN_FOLDER]
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import paconv
from paconv.models import digits_resnet
from paconv.nn import calibrate
from paconv.train import DataSource, InMemory, Settings, Watcher, fit
from paconv.train.distributed import joined_processes


class Curve(Watcher):
    def __init__(self):
        self.losses: list[float] = []

    def step(self, progress):
        self.losses.append(progress.loss)


def small_source() -> DataSource:
    draw = np.random.default_rng(5)
    labels = np.arange(80) % 4
    images = draw.standard_normal((80, 1, 8, 8)) + labels[:, None, None, None]
    training = InMemory(images[:64], labels[:64], 4, shift=1, noise=0.1)
    return DataSource("small", "classification", training, InMemory(images[64:], labels[64:], 4), ("a",) * 4, (1, 8, 8))


def joint_fit(optimizer: str, output: str | None = None) -> dict:
    """The curve (loss of each epoch, and on held-out images), and the final state dict."""
    torch.manual_seed(0)
    source = small_source()
    model = paconv.convert(digits_resnet(4, width=4), M=4, N=5).double()
    calibrate(model, [source.training.batch([(0, i) for i in range(32)])[0].double()])
    # 6 epochs of 4 steps.
    history = fit(model, source, Settings(6, batch_size=16, optimizer=optimizer, lr=0.01), output=output)
    return {"history": history, "model": model.state_dict()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined_processes() as ranks:
        done = joint_fit(*sys.argv[2:])
        torch.save(done, f"{sys.argv[1]}.{ranks.rank}")

"""Run as a process: two processes that train one net together, in float64, under each scheme in turn. Writes the
measures and weights of each process by scheme.

    python joint_fit.py RESULT RUN_FOLDER PORT

They are forks of this process, which never ran torch itself, so that torch is loaded once.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import torch
import torch._dynamo

import paconv
from paconv.models import digits_resnet
from paconv.nn import calibrate
from paconv.nn.schemes import SCHEMES
from paconv.train import DataSource, InMemory, Settings, fit
from paconv.train.distributed import joined_processes


def small_source() -> DataSource:
    draw = np.random.default_rng(5)
    labels = np.arange(80) % 4
    images = draw.standard_normal((80, 1, 8, 8)) + labels[:, None, None, None]
    training = InMemory(images[:64], labels[:64], 4, shift=1, noise=0.1)
    return DataSource("small", "classification", training, InMemory(images[64:], labels[64:], 4), ("a",) * 4, (1, 8, 8))


def joint_fit(scheme: str, output: str | None = None) -> dict:
    """Measures of 2 epochs of 4 steps, and the final state dict. SGD: its steps are linear in the gradients."""
    torch.manual_seed(0)
    source = small_source()
    model = paconv.convert(digits_resnet(4, width=4), scheme=scheme).double()
    calibrate(model, [source.training.batch([(0, i) for i in range(32)])[0].double()])
    history = fit(model, source, Settings(2, batch_size=16, optimizer="sgd", lr=0.01), output=output)
    return {"history": history, "model": model.state_dict()}


def main() -> None:
    result, folder, port = sys.argv[1:]
    torch.set_num_threads(1)
    children = []
    for rank in range(2):
        if (child := os.fork()) == 0:
            os.environ.update(WORLD_SIZE="2", RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
            with joined_processes():
                # PA's in a folder, for what is written there.
                found = {scheme: joint_fit(scheme, folder if scheme == "pa" else None) for scheme in SCHEMES}
                torch.save(found, f"{result}.{rank}")
            os._exit(0)
        children.append(child)
    sys.exit(any([os.waitpid(child, 0)[1] for child in children]))


if __name__ == "__main__":
    main()

"""Run as a process: a training that is killed again and again, and resumed, beside one that isn't. Writes both results.

    python killed_fit.py FOLDER

Each attempt is a fork of this process, which never ran torch itself, so that torch is loaded once.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import torch
import torch._dynamo
from torch import nn
from torch.nn import functional as F

import paconv
from paconv.nn import calibrate
from paconv.train import Settings, Watcher, fit
from tests.train.joint_fit import small_source


class DropoutNet(nn.Module):
    """Draws random numbers while it trains."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 8, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(self.dropout(self.conv(F.relu(self.norm(self.stem(x))))).mean((2, 3)))


class KillAt(Watcher):
    """Kills its process after `count` steps of this attempt: the `while_writing`-th state then stays half written."""

    def __init__(self, count: int, while_writing: bool):
        self.left, self.while_writing = count, while_writing

    def step(self, progress):
        self.left -= 1
        if self.left:
            return
        if self.while_writing:
            os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # the state is written, not yet in its place
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def attempt(folder: Path, watchers: list[Watcher]) -> int:
    """Train or go on in a process of its own; the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        torch.manual_seed(3)
        source = small_source()
        model = paconv.convert(DropoutNet(), M=4, N=5)
        calibrate(model, [source.training.batch([(0, i) for i in range(32)])[0]])
        settings = Settings(5, batch_size=8, optimizer="sgd", seed=1)  # 40 steps
        fit(model, source, settings, output=folder, resume=True, checkpoint_steps=3, watchers=watchers)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main() -> None:
    folder = Path(sys.argv[1])
    assert attempt(folder / "unbroken", []) == 0
    chance, kills = random.Random(7), 0
    while attempt(folder / "killed", [KillAt(chance.randint(3, 16), kills % 2 == 1)]):
        kills += 1
    print(kills)


if __name__ == "__main__":
    main()

"""Train a digits net, approximate it by PA(4,5), fine-tune it, and save it: about a minute on one core.

    python examples/01_train_digits.py [--output out/digits_pa45.pt] [--seed 0]

Exits with 1 and saves nothing if PA(4,5) is more than 2 points behind its float parent on held-out digits. The
same machine prints the same figures each time. examples/digits_pa45.pt was written by this script.

`paconv train --model digits_resnet --data digits -M 4 -N 5 -o run` does the like, and can be interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import paconv
from paconv.digits_images import INPUT_SHAPE, held_out_digits, training_digits
from paconv.models import digits_resnet
from paconv.nn import calibrate, conversion_report
from paconv.train import Progress, Settings, Watcher, fit, open_source

M, N = 4, 5
FLOAT_EPOCHS, PA_EPOCHS = 60, 80
LARGEST_LOSS = 2.0
"""Points of accuracy that PA may lose to its float parent."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/digits_pa45.pt"), help="checkpoint [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="[%(default)s]")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)

    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    digits = replace(open_source("digits", seed=options.seed), held_out=None)  # looked at in the end only

    parent = digits_resnet()
    fit(parent, digits, Settings(FLOAT_EPOCHS, seed=options.seed), watchers=[Lines("float")])
    float_accuracy = accuracy(parent)

    model = paconv.convert(parent, M=M, N=N)
    print(conversion_report(model))
    calibrate(model, [torch.from_numpy(training_digits()[0][:512])])
    converted_accuracy = accuracy(model)
    fit(model, digits, Settings(PA_EPOCHS, seed=options.seed), watchers=[Lines(f"PA({M},{N})")])
    pa_accuracy = accuracy(model)

    print("accuracy on held-out digits")
    print(f"  float parent              {float_accuracy:6.2f} %")
    print(f"  PA({M},{N}), calibrated only {converted_accuracy:6.2f} %")
    print(f"  PA({M},{N}), fine-tuned      {pa_accuracy:6.2f} %")
    if pa_accuracy < float_accuracy - LARGEST_LOSS:
        sys.exit(f"PA({M},{N}) lost more than {LARGEST_LOSS} points to its float parent; nothing was saved")
    paconv.save(model, options.output, input_shape=INPUT_SHAPE)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


class Lines(Watcher):
    """A line every 20 epochs."""

    def __init__(self, name: str):
        self.name, self.started = name, time.perf_counter()

    def epoch(self, progress: Progress, measures: dict[str, float]) -> None:
        if progress.epoch % 20 == 0:
            seconds = time.perf_counter() - self.started
            place = f"{self.name}: epoch {progress.epoch}/{progress.epochs}"
            print(f"{place}, training loss {measures['loss']:.3f}, {seconds:.0f} s", flush=True)


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    """Per cent of the held-out digits that `model` names."""
    images, labels = map(torch.from_numpy, held_out_digits())
    return 100 * (model.eval()(images).argmax(1) == labels).float().mean().item()


if __name__ == "__main__":
    main()

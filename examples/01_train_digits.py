"""Train a digits net, approximate it by PA(4,5), fine-tune it, and save it: about a minute on one core.

    python examples/01_train_digits.py [--output out/digits_pa45.pt] [--seed 0]

Exits with 1 and saves nothing if PA(4,5) is more than 2 points behind its float parent on held-out digits. The
same machine prints the same figures each time. examples/digits_pa45.pt was written by this script.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from digits_data import INPUT_SHAPE, held_out_digits, training_digits
from torch import Tensor, nn
from torch.nn import functional as F

import paconv
from paconv.models import digits_resnet
from paconv.nn import calibrate, conversion_report, parameter_groups, project_

M, N = 4, 5
BATCH = 64
FLOAT_EPOCHS, PA_EPOCHS = 60, 80
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2
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
    images, labels = map(torch.from_numpy, training_digits())

    parent = digits_resnet()
    train(parent, images, labels, FLOAT_EPOCHS, "float")
    float_accuracy = accuracy(parent)

    model = paconv.convert(parent, M=M, N=N)
    print(conversion_report(model))
    calibrate(model, [images[:512]])
    converted_accuracy = accuracy(model)
    train(model, images, labels, PA_EPOCHS, f"PA({M},{N})")
    pa_accuracy = accuracy(model)

    print("accuracy on held-out digits")
    print(f"  float parent              {float_accuracy:6.2f} %")
    print(f"  PA({M},{N}), calibrated only {converted_accuracy:6.2f} %")
    print(f"  PA({M},{N}), fine-tuned      {pa_accuracy:6.2f} %")
    if pa_accuracy < float_accuracy - LARGEST_LOSS:
        sys.exit(f"PA({M},{N}) lost more than {LARGEST_LOSS} points to its float parent; nothing was saved")
    paconv.save(model, options.output, input_shape=INPUT_SHAPE)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


def train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int, name: str) -> None:
    """Algorithm 1 with Adam: each step ends with the projection; the learning rate decays once a step."""
    started = time.perf_counter()
    optimizer = torch.optim.AdamW(parameter_groups(model, LEARNING_RATE, WEIGHT_DECAY))
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    model.train()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            loss = F.cross_entropy(model(augmented(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            project_(model)
            schedule.step()
            total += loss.item()
        if epoch % 20 == 0:
            seconds = time.perf_counter() - started
            print(f"{name}: epoch {epoch}/{epochs}, training loss {total / steps:.3f}, {seconds:.0f} s", flush=True)


def augmented(images: Tensor) -> Tensor:
    """images (B, 1, 8, 8), each moved by up to a pixel in both directions, with noise."""
    count, _, height, width = images.shape
    padded = F.pad(images, (1, 1, 1, 1), value=images.min().item())
    top, left = torch.randint(0, 3, (2, count, 1))
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    moved = padded[torch.arange(count)[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
    return moved[:, None] + 0.2 * torch.randn_like(images)


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    """Per cent of the held-out digits that `model` names."""
    images, labels = map(torch.from_numpy, held_out_digits())
    return 100 * (model.eval()(images).argmax(1) == labels).float().mean().item()


if __name__ == "__main__":
    main()

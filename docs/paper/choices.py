"""Where the paper leaves a choice, what it is worth on noisy digits: choices.py [seeds [epochs [forms]]]

For each seed a float network is trained; each form of PA starts from it and is trained as long, with the same data in
the same order. `without ReLU` has none in front of the quantizers (the classifier keeps its own), with levels from 0
upwards all the same. forms: how many of FORMS. Printed: percent right of the held-out digits, at the last epoch, on the
default grid.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from statistics import mean, stdev

import torch
from torch import nn

from paconv.models.digits import DigitsResNet
from paconv.nn import calibrate, convert
from paconv.train import Settings, fit, open_source
from paconv.train.batches import first_keys

DATA, WIDTH = "digits:0.5", 8
"""Digits with noise, and a narrow network: right answers are far from 100 %."""

FORMS: dict[str, tuple[bool, dict]] = {
    "PA(4,5)": (True, {"M": 4, "N": 5}),
    "PA(4,5), without ReLU": (False, {"M": 4, "N": 5}),
    "PA(3,3)": (True, {"M": 3, "N": 3}),
    "PA(4,5), around mean(W)": (True, {"M": 4, "N": 5, "around_mean": True}),
    "PA(4,5), lambda_W by M": (True, {"M": 4, "N": 5, "lambda_w": "by-M"}),
    "PA(4,5), lambda_A = 1": (True, {"M": 4, "N": 5, "lambda_a": 1.0}),
}
"""Name -> (whether there is a ReLU in front of the quantizers, what paconv.convert takes)."""


def without_relu(net: DigitsResNet) -> DigitsResNet:
    """A copy without the ReLUs that quantizers come behind."""
    net = copy.deepcopy(net)
    for block in (net.block1, net.block2, net.block3):
        block.act1 = block.act2 = nn.Identity()
    return net


def main(seeds: int = 3, epochs: int = 12, forms: int = len(FORMS)) -> None:
    torch.set_num_threads(1)
    source = open_source(DATA)
    chosen = dict(list(FORMS.items())[:forms])
    right: dict[str, list[float]] = {"float": [], **{name: [] for name in chosen}}
    for seed in range(seeds):
        settings = Settings(epochs, seed=seed)
        torch.manual_seed(seed)
        parent = DigitsResNet(10, WIDTH, nn.ReLU)
        right["float"].append(100 * fit(parent, source, settings)[-1]["held_out_accuracy"])
        inputs, _ = source.training.batch(first_keys(source.training, seed, 128))
        for name, (relu, options) in chosen.items():
            model = convert(parent if relu else without_relu(parent), signed=False, **options)
            calibrate(model, [inputs])
            right[name].append(100 * fit(model, source, settings)[-1]["held_out_accuracy"])
            print(seed, name, f"{right[name][-1]:.2f}", file=sys.stderr)
    for name, values in right.items():
        spread = stdev(values) if len(values) > 1 else 0.0
        print(f"| {name} | {mean(values):.2f} | {spread:.2f} |")
    measured = {"data": DATA, "width": WIDTH, "epochs": epochs, "right": right}
    (Path(__file__).parent / "choices.json").write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))

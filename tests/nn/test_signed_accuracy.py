"""What levels on both sides of 0 are worth: small trained networks, converted and calibrated without training."""

from __future__ import annotations

import statistics

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paconv.digits_images import held_out_digits, training_digits
from paconv.nn import calibrate, convert, settle_batch_norm

pytestmark = pytest.mark.slow

SEEDS, STEPS, CALIBRATION = (0, 1, 2), 200, 512


def normed(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels_out)]


class Inverted(nn.Module):
    """MobileNetV2's block: expand, depthwise, project without an activation; a shortcut where nothing else changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, activation: type[nn.Module]):
        super().__init__()
        wide = 3 * channels_in
        self.body = nn.Sequential(
            *normed(channels_in, wide, 1),
            activation(),
            *normed(wide, wide, 3, stride, groups=wide),
            activation(),
            *normed(wide, channels_out, 1),
        )
        self.residual = channels_in == channels_out and stride == 1

    def forward(self, x):
        y = self.body(x)
        return x + y if self.residual else y


def plain(activation: type[nn.Module]) -> nn.Module:
    body = [*normed(1, 16, 3), activation(), *normed(16, 24, 3), activation(), *normed(24, 32, 3, 2), activation()]
    body += [*normed(32, 32, 3), activation()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def mobile(activation: type[nn.Module]) -> nn.Module:
    blocks = [Inverted(16, 16, 1, activation), Inverted(16, 24, 2, activation), Inverted(24, 24, 1, activation)]
    end = [*normed(24, 48, 1), activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)]
    return nn.Sequential(*normed(1, 16, 3), activation(), *blocks, *end)


def trained(model: nn.Module, seed: int) -> nn.Module:
    images, labels = map(torch.from_numpy, training_digits())
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        batch = torch.randint(len(images), (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    images, labels = map(torch.from_numpy, held_out_digits())
    return 100 * (model.eval()(images).argmax(1) == labels).float().mean().item()


def losses(make, activation) -> dict[str, float]:
    """Points of accuracy that the conversion costs, the mean over SEEDS: with levels above 0 alone, and with both."""
    images = torch.from_numpy(training_digits()[0])[:CALIBRATION]
    found: dict[str, list[float]] = {"unsigned": [], "signed": []}
    for seed in SEEDS:
        torch.manual_seed(seed)
        parent = trained(make(activation), seed)
        for name, signed in (("unsigned", False), ("signed", "auto")):
            model = convert(parent, 4, 5, signed=signed)
            for _ in range(2):
                calibrate(model, [images])
                settle_batch_norm(model, [images])
            found[name].append(accuracy(parent) - accuracy(model))
    return {name: statistics.mean(values) for name, values in found.items()}


LONG = pytest.mark.whole


@pytest.mark.parametrize(
    "activation",
    [nn.Hardswish, *(pytest.param(activation, marks=LONG) for activation in (nn.SiLU, nn.PReLU, nn.LeakyReLU))],
)
def test_networks_without_relus_keep_their_accuracy_as_those_with_relus_do(activation):
    assert losses(plain, activation)["signed"] <= losses(plain, nn.ReLU)["signed"] + 2.0


@pytest.mark.parametrize("activation", [pytest.param(nn.ReLU6, marks=LONG), pytest.param(nn.SiLU, marks=LONG)])
def test_linear_bottlenecks_need_levels_below_0(activation):
    loss = losses(mobile, activation)
    assert loss["signed"] <= loss["unsigned"] - 5.0

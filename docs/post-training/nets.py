"""Small float networks, trained here: of digits, of MNIST, and of digits with activations other than ReLU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.digits_images import held_out_digits, training_digits
from paconv.models.resnet import BasicBlock
from paconv.samples.mnist import mnist
from paconv.train import Settings, fit, open_source

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081
MNIST_IMAGES = 12000
"""Of the 60,000, trained on."""


def residual_block(channels: int, out: int, stride: int) -> BasicBlock:
    """ResNet's block, with a convolution on the shortcut where sizes differ."""
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    return BasicBlock(channels, out, stride, shortcut)


class MnistNet(nn.Module):
    """Three residual blocks of 16, 32 and 64 channels for 28x28 pixels: 8 convolutions behind the stem."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        widths = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
        self.blocks = nn.Sequential(*(nn.Sequential(residual_block(i, o, stride)) for i, o, stride in widths))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(F.relu(self.norm(self.stem(x)))).mean((2, 3)))


def _normed(inputs: int, outputs: int, act: Callable[[], nn.Module] | None, k: int = 3, s: int = 1, g: int = 1):
    layers = [nn.Conv2d(inputs, outputs, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Bottleneck(nn.Module):
    """MobileNetV2's: expand, depthwise, project without an activation; what is read next has both signs."""

    def __init__(self, inputs: int, outputs: int, act: Callable[[], nn.Module], stride: int = 1) -> None:
        super().__init__()
        wide = 3 * inputs
        self.body = nn.Sequential(
            _normed(inputs, wide, act, 1), _normed(wide, wide, act, 3, stride, wide), _normed(wide, outputs, None, 1)
        )
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


def chain(act: Callable[[], nn.Module]) -> nn.Module:
    """Four convolutions, three of them quantized."""
    convs = (_normed(1, 16, act), _normed(16, 24, act), _normed(24, 32, act, 3, 2), _normed(32, 32, act))
    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def bottlenecks(act: Callable[[], nn.Module]) -> nn.Module:
    """Three linear bottlenecks."""
    body = (Bottleneck(16, 16, act), Bottleneck(16, 24, act, 2), Bottleneck(24, 24, act))
    ends = (_normed(24, 48, act, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))
    return nn.Sequential(_normed(1, 16, act), *body, *ends)


BOTTLENECKS = "linear bottlenecks, ReLU6"

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": lambda: chain(nn.ReLU),
    "SiLU": lambda: chain(nn.SiLU),
    "hard swish": lambda: chain(nn.Hardswish),
    "leaky ReLU 0.1": lambda: chain(lambda: nn.LeakyReLU(0.1)),
    "PReLU": lambda: chain(nn.PReLU),
    BOTTLENECKS: lambda: bottlenecks(nn.ReLU6),
}


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and labels to train on, held-out images and labels."""
    return tuple(map(torch.from_numpy, (*training_digits(), *held_out_digits())))


def mnist_images(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same of MNIST."""
    found: list[Tensor] = []
    for split, count in (("train", MNIST_IMAGES), ("test", None)):
        images, labels = mnist(folder, split)
        values = (images[:count, None].astype(np.float32) / 255 - MNIST_MEAN) / MNIST_STD
        found += [torch.from_numpy(values), torch.from_numpy(labels[:count])]
    return tuple(found)


def trained(
    make: Callable[[], nn.Module], path: Path, data: tuple[Tensor, ...] | None, steps: int, seed: int
) -> nn.Module:
    """The float network, from `path` if it was trained before: the digits net (no `data`) as `paconv train` does it,
    others by AdamW in one cycle, images shifted by up to a pixel.
    """
    torch.manual_seed(seed)
    net = make()
    if path.exists():
        net.load_state_dict(torch.load(path, weights_only=True))
        return net.eval()
    if data is None:
        fit(net, replace(open_source("digits", seed=seed), held_out=None), Settings(60, seed=seed))
    else:
        _train(net, *data[:2], steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), path)
    return net.eval()


def _train(net: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=1e-4)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    net.train()
    for _ in range(steps):
        at = torch.randint(len(images), (64,))
        down, right = torch.randint(-1, 2, (2,)).tolist()
        loss = F.cross_entropy(net(images[at].roll((down, right), (2, 3))), labels[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()

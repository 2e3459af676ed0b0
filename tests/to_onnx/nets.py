"""Small nets, written as users write them, that the export tests share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paconv

__all__ = ["Residual", "make_residual", "warmed"]


class Residual(nn.Module):
    """conv-bn-relu stem, one block conv-bn-relu-conv-bn-add-relu with a strided shortcut, and a classifier."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(2)
        self.conv1 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * width)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.shortcut = nn.Sequential(nn.Conv2d(width, 2 * width, 1, stride=2, bias=False), nn.BatchNorm2d(2 * width))
        self.fc = nn.Linear(2 * width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.bn(self.conv(x))))
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        y = F.relu(y + self.shortcut(x))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(y, 1), 1))


def make_residual(seed: int = 0, **options) -> nn.Module:
    """The net with PA(4, 5) convolutions, or as `options` of paconv.convert say, and batch-norm statistics."""
    torch.manual_seed(seed)
    return warmed(paconv.convert(Residual(), **options), (3, 16, 16))


def warmed(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """`model` in eval mode after a forward in training mode over random images."""
    model.train()
    with torch.no_grad():
        model(torch.randn(8, *shape))
    return model.eval()

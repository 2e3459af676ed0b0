"""An architecture for small color images, known by name to `paconv train` once this is imported."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from paconv.models import register
from paconv.models.approximate import approximated

__all__ = ["TinyColorNet", "tiny_color_net"]


class TinyColorNet(nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 8, 3, 2, 1, bias=False)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(F.relu(self.norm(self.stem(x)))).mean((2, 3)))


@register(input_shape=(3, 16, 16))
def tiny_color_net(num_classes: int = 2, M: int | None = None, N: int | None = None) -> nn.Module:
    """(B, 3, H, W) -> (B, num_classes)."""
    return approximated(TinyColorNet(num_classes), M, N)

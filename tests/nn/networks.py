"""Small networks in the styles that people write, for the tests of conversion."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class FunctionalBlock(nn.Module):
    """conv-bn-relu-conv-bn-add-relu, with functional relu and add; defined in another order than it runs."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride) if stride != 1 else None
        self.norm_b = nn.BatchNorm2d(channels_out)
        self.b = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm_a = nn.BatchNorm2d(channels_out)
        self.a = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)

    def forward(self, x):
        y = F.relu(self.norm_a(self.a(x)))
        y = self.norm_b(self.b(y))
        if self.shortcut is not None:
            x = self.shortcut(x)
        return torch.relu(y + x)


class FunctionalResNet(nn.Module):
    """A handwritten ResNet; the linear layer is defined first."""

    def __init__(self):
        super().__init__()
        self.classify = nn.Linear(16, 10)
        self.block2 = FunctionalBlock(8, 16, 2)
        self.block1 = FunctionalBlock(8, 8, 1)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x):
        x = self.block2(self.block1(F.relu(self.stem(x))))
        return self.classify(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class TwoRelus(nn.Module):
    """The same tensor, once through a functional relu, once through a module in place, once as it is."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 8, 1)
        self.d = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.norm(self.stem(x))
        y = self.a(F.relu(x)) + self.b(self.relu(x)) + self.c(x) + self.d(torch.sigmoid(x))
        return self.head(y.mean((2, 3)))


class PreActivation(nn.Module):
    """Convolutions behind a batch norm and a relu, and behind a batch norm alone."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm_a = nn.BatchNorm2d(8)
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.norm_b = nn.BatchNorm2d(8)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.a(F.relu(self.norm_a(x)))
        x = x + self.b(self.norm_b(x))
        return self.head(x.mean((2, 3)))


class Untraceable(nn.Module):
    """Looks at its data, which torch.fx can't follow; runs in another order than it is defined."""

    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 8, 1)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        if x.sum() > 1e9:
            x = x / 2
        x = F.relu(self.stem(x))
        return self.head((self.b(x) + self.down(x)).mean((2, 3)))


class TwoStems(nn.Module):
    """Two inputs, each with a stem of its own; the second stem reads its input through a ReLU."""

    def __init__(self):
        super().__init__()
        self.stem_x = nn.Conv2d(3, 8, 3, padding=1)
        self.stem_y = nn.Conv2d(1, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, x, y):
        z = F.relu(self.stem_x(x)) + F.relu(self.stem_y(F.relu(y)))
        return self.head(self.body(z).mean((2, 3)))


def mobile_block() -> nn.Sequential:
    """Stem, depthwise, pointwise, grouped, and a convolution as classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 16, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.Conv2d(16, 16, 3, padding=1, groups=4),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.Conv2d(16, 10, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )

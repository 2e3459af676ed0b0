"""DenseNet121 for ImageNet-sized images (Huang et al. 2017), in torchvision's layout and with its state-dict keys.

Each layer of a block reads the concatenation of all tensors of the block before it, through a batch norm of its own:

    x_{l+1} = [x_l, conv2(relu(norm2(conv1(relu(norm1(x_l))))))]

so that `paconv optimize` folds both batch norms into endpoints: norm1 acts on single channels, whatever they come from.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.models.approximate import approximated
from paconv.models.initialize import initialize_convolutions
from paconv.models.registry import register

__all__ = ["DenseBlock", "DenseLayer", "DenseNet", "Transition", "densenet121"]

_BOTTLENECK = 4
"""Channels between the two convolutions of a layer, in units of the growth rate."""


class DenseLayer(nn.Module):
    """norm1-relu-conv1 (1x1) -norm2-relu-conv2 (3x3): `growth` new channels."""

    def __init__(self, in_channels: int, growth: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, _BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(_BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(_BOTTLENECK * growth, growth, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, growth, H, W)."""
        x = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(x)))


class DenseBlock(nn.Module):
    """`layers` DenseLayers, each of which appends its result to what it read."""

    def __init__(self, in_channels: int, growth: int, layers: int):
        super().__init__()
        for index in range(layers):
            self.add_module(f"denselayer{index + 1}", DenseLayer(in_channels + index * growth, growth))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C + layers growth, H, W)."""
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


class Transition(nn.Module):
    """norm-relu-conv (1x1) -pool between two blocks: half the channels, half the size."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C/2, H/2, W/2)."""
        return self.pool(self.conv(F.relu(self.norm(x))))


class DenseNet(nn.Module):
    """A 7x7 stem of 2 `growth` channels, dense blocks with transitions between, and a linear classifier.

    blocks: number of layers of each block.
    """

    def __init__(self, growth: int, blocks: tuple[int, ...], num_classes: int):
        super().__init__()
        channels = 2 * growth
        features: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, channels, 7, 2, 3, bias=False),
            norm0=nn.BatchNorm2d(channels),
            relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, 2, 1),
        )
        for number, layers in enumerate(blocks, 1):
            if number > 1:
                features[f"transition{number - 1}"] = Transition(channels)
                channels //= 2
            features[f"denseblock{number}"] = DenseBlock(channels, growth, layers)
            channels += layers * growth
        features["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(features)
        self.classifier = nn.Linear(channels, num_classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) -> (B, num_classes) logits."""
        x = F.relu(self.features(x))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


@register(input_shape=(3, 224, 224))
def densenet121(
    num_classes: int = 1000, M: int | None = None, N: int | None = None, scheme: str | None = None
) -> nn.Module:
    """DenseNet121: growth rate 32.

    Args:
        num_classes: Outputs of the classifier.
        M: Weight planes; None is the scheme's own number, or the float network where there is no scheme.
        N: Activation planes; None is full precision, or without M the scheme's own number.
        scheme: A quantization scheme's name; None is PA where M is given, otherwise the float network.

    Returns:
        The network, newly initialized: in float, or converted (paconv.models.approximate has the table).

    Raises:
        UsageError: There is N without M, or the scheme is unknown or can't have these planes.
    """
    return approximated(DenseNet(32, (6, 12, 24, 16), num_classes), M, N, scheme)

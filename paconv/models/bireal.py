"""ResNet18 and 34 in the layout of Bi-Real Net (Liu et al. 2018, arXiv 1808.00278).

A shortcut goes around every 3x3 convolution, so that real values pass by each binary convolution, and nothing but the
shortcuts' own convolutions, which stay real, ever acts on all of them:

    x_{l+1} = bn(conv(act(x_l))) + shortcut(x_l)
    shortcut(x) = x, or bn(conv1x1(mean of 2x2 windows of x)) where the shape changes

There is no activation function but act, in whose place the quantizer of the activations comes: a ReLU for PA, the clip
of Liu et al. for a scheme whose activations are +1 and -1 (paconv.models.activations).

A block is one convolution, so that the parameters are those of ResNet18 and 34 under other names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.models.activations import activation_class
from paconv.models.approximate import approximated
from paconv.models.initialize import initialize_convolutions
from paconv.models.registry import register

__all__ = ["BiRealBlock", "BiRealResNet", "bireal18", "bireal34"]


class BiRealBlock(nn.Module):
    """act-conv-bn-add: one 3x3 convolution and the shortcut around it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, activation: type[nn.Module]):
        super().__init__()
        self.act = activation()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, out_channels, ceil(H/stride), ceil(W/stride))."""
        identity = x if self.downsample is None else self.downsample(x)
        return self.bn(self.conv(self.act(x))) + identity


class BiRealResNet(nn.Module):
    """A 7x7 stem, four layers of blocks of width 64 to 512, and a linear classifier.

    blocks: 3x3 convolutions of each layer; activation: class of act.
    """

    def __init__(self, blocks: tuple[int, int, int, int], num_classes: int, activation: type[nn.Module]):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _layer(64, 64, blocks[0], 1, activation)
        self.layer2 = _layer(64, 128, blocks[1], 2, activation)
        self.layer3 = _layer(128, 256, blocks[2], 2, activation)
        self.layer4 = _layer(256, 512, blocks[3], 2, activation)
        self.fc = nn.Linear(512, num_classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) -> (B, num_classes) logits."""
        x = self.maxpool(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


@register(input_shape=(3, 224, 224))
def bireal18(
    num_classes: int = 1000,
    M: int | None = None,
    N: int | None = None,
    scheme: str | None = None,
    activation: str | None = None,
) -> nn.Module:
    """Bi-Real Net 18's layout; its downsampling convolutions stay real, as its authors have it.

    Args:
        num_classes: Outputs of the classifier.
        M: Weight planes; None is the scheme's own number, or the float network where there is no scheme.
        N: Activation planes; None is full precision, or without M the scheme's own number.
        scheme: A quantization scheme's name; None is PA where M is given, otherwise the float network.
        activation: "relu" or "clip"; None is what the scheme needs (paconv.models.activations).

    Returns:
        The network, newly initialized: in float, or converted (paconv.models.approximate has the table).

    Raises:
        UsageError: There is N without M, or the scheme is unknown or can't have these planes,
            or the activation function is unknown.
    """
    return _approximated((4, 4, 4, 4), num_classes, M, N, scheme, activation)


@register(input_shape=(3, 224, 224))
def bireal34(
    num_classes: int = 1000,
    M: int | None = None,
    N: int | None = None,
    scheme: str | None = None,
    activation: str | None = None,
) -> nn.Module:
    """Bi-Real Net 34's layout; its downsampling convolutions stay real, as its authors have it.

    Args:
        num_classes: Outputs of the classifier.
        M: Weight planes; None is the scheme's own number, or the float network where there is no scheme.
        N: Activation planes; None is full precision, or without M the scheme's own number.
        scheme: A quantization scheme's name; None is PA where M is given, otherwise the float network.
        activation: "relu" or "clip"; None is what the scheme needs (paconv.models.activations).

    Returns:
        The network, newly initialized: in float, or converted (paconv.models.approximate has the table).

    Raises:
        UsageError: There is N without M, or the scheme is unknown or can't have these planes,
            or the activation function is unknown.
    """
    return _approximated((6, 8, 12, 6), num_classes, M, N, scheme, activation)


def _approximated(
    blocks: tuple[int, int, int, int],
    num_classes: int,
    M: int | None,
    N: int | None,
    scheme: str | None,
    activation: str | None,
) -> nn.Module:
    model = BiRealResNet(blocks, num_classes, activation_class(activation, scheme))
    return approximated(model, M, N, scheme, keep=["*.downsample"])


def _layer(in_channels: int, width: int, count: int, stride: int, activation: type[nn.Module]) -> nn.Sequential:
    first = BiRealBlock(in_channels, width, stride, activation)
    return nn.Sequential(first, *(BiRealBlock(width, width, 1, activation) for _ in range(count - 1)))

"""MobileNet v1, width 1.0, for 224x224 images (Howard et al. 2017, Table 1): depthwise and pointwise convolutions.

Depthwise convolutions stay real: they are 3 % of the multiplications and 1 % of the parameters (the paper's section 4.3
does the same). Activations are ReLUs, as the article has them; TensorFlow's code clips them at 6 as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.models.approximate import approximated
from paconv.models.initialize import initialize_convolutions
from paconv.models.registry import register

__all__ = ["MobileNet", "SeparableConv", "mobilenet_v1"]

_LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Output channels and stride of each separable convolution."""


class SeparableConv(nn.Module):
    """depthwise (3x3) -bn-relu-pointwise (1x1) -bn-relu."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, out_channels, ceil(H/stride), ceil(W/stride))."""
        x = F.relu(self.bn1(self.depthwise(x)))
        return F.relu(self.bn2(self.pointwise(x)))


class MobileNet(nn.Module):
    """A 3x3 stem, separable convolutions with these (output channels, stride), and a linear classifier."""

    def __init__(self, layers: tuple[tuple[int, int], ...], num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.layers = nn.Sequential()
        channels = 32
        for out_channels, stride in layers:
            self.layers.append(SeparableConv(channels, out_channels, stride))
            channels = out_channels
        self.fc = nn.Linear(channels, num_classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) -> (B, num_classes) logits."""
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


@register(input_shape=(3, 224, 224))
def mobilenet_v1(
    num_classes: int = 1000, M: int | None = None, N: int | None = None, scheme: str | None = None
) -> nn.Module:
    """MobileNet 1.0-224: pointwise convolutions approximated, depthwise ones real.

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
    return approximated(MobileNet(_LAYERS, num_classes), M, N, scheme)

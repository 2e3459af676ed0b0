"""A small pre-activation residual net for 8x8 digits: the sample that trains in a minute on one core."""

from __future__ import annotations

from torch import Tensor, nn

from paconv.models.activations import activation_class
from paconv.models.approximate import approximated
from paconv.models.registry import register

__all__ = ["DigitsBlock", "DigitsResNet", "digits_resnet"]


class DigitsBlock(nn.Module):
    """Block bn-act-conv-bn-act-conv; a change of shape takes a 1x1 shortcut from the first act."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, activation: type[nn.Module]):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.act1 = activation()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act2 = activation()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        changes_shape = stride != 1 or in_channels != out_channels
        self.downsample = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False) if changes_shape else None

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, out_channels, H/stride, W/stride)."""
        active = self.act1(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(active)
        return self.conv2(self.act2(self.bn2(self.conv1(active)))) + shortcut


class DigitsResNet(nn.Module):
    """A 3x3 stem, three blocks of width, 2 width and 4 width channels, and a linear classifier.

    activation: class of all activation functions.
    """

    def __init__(self, num_classes: int, width: int, activation: type[nn.Module]):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, 1, 1, bias=False)
        self.block1 = DigitsBlock(width, width, 1, activation)
        self.block2 = DigitsBlock(width, 2 * width, 2, activation)
        self.block3 = DigitsBlock(2 * width, 4 * width, 2, activation)
        self.bn = nn.BatchNorm2d(4 * width)
        self.act = activation()
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 1, 8, 8) -> (B, num_classes) logits."""
        x = self.block3(self.block2(self.block1(self.conv(x))))
        return self.fc(self.act(self.bn(x)).mean((2, 3)))


@register(input_shape=(1, 8, 8))
def digits_resnet(
    num_classes: int = 10,
    M: int | None = None,
    N: int | None = None,
    scheme: str | None = None,
    activation: str | None = None,
    width: int = 16,
) -> nn.Module:
    """The sample's network for 8x8 digits.

    Args:
        num_classes: Outputs of the classifier.
        M: Weight planes; None is the scheme's own number, or the float network where there is no scheme.
        N: Activation planes; None is full precision, or without M the scheme's own number.
        scheme: A quantization scheme's name; None is PA where M is given, otherwise the float network.
        activation: "relu" or "clip"; None is what the scheme needs (paconv.models.activations).
        width: Output channels of the stem; the blocks have 1, 2 and 4 times as many.

    Returns:
        The network, newly initialized: in float, or converted (paconv.models.approximate has the table).

    Raises:
        UsageError: There is N without M, or the scheme is unknown or can't have these planes,
            or the activation function is unknown.
    """
    model = DigitsResNet(num_classes, width, activation_class(activation, scheme))
    return approximated(model, M, N, scheme)

"""ResNet18, 34 and 50 for ImageNet-sized images, in torchvision's layout and with its state-dict keys.

Bottlenecks are v1 unless asked otherwise: the stride is on the first 1x1 convolution, as the paper's MAC counts have
it. torchvision's are v1.5, with the stride on the 3x3. Both have the same tensors, so weights of one load into the
other, which is another network: a state dict of somebody else's model is taken with a warning, where its origin can be
told at all.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.errors import UsageError
from paconv.models.approximate import approximated
from paconv.models.initialize import initialize_convolutions
from paconv.models.registry import register

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "VARIANTS", "resnet18", "resnet34", "resnet50", "warn_of_v1"]

VARIANTS = ("v1", "v1.5")
"""Bottlenecks with the stride on the first 1x1 convolution, and on the 3x3."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions: conv-bn-relu-conv-bn-add-relu."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, width, H/stride, W/stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + identity)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, the stride on the first or, in variant "v1.5", on the second."""

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, stride: int, downsample: nn.Module | None, variant: str = VARIANTS[0]
    ):
        super().__init__()
        first, second = (stride, 1) if variant == VARIANTS[0] else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, 4 width, H/stride, W/stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + identity)


class ResNet(nn.Module):
    """A 7x7 stem, four layers of blocks of width 64 to 512, and a linear classifier. variant: of bottlenecks.

    Raises UsageError for an unknown variant.
    """

    is_v1 = False
    """Whether it has bottlenecks of v1."""

    _version = 2
    """torch notes it in state dicts. torchvision's have 1, as those that paconv made before; checkpoints say more."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, int, int, int],
        num_classes: int,
        variant: str = VARIANTS[0],
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise UsageError(f"variant must be one of {', '.join(VARIANTS)}; found {variant!r}")
        self.is_v1 = block is Bottleneck and variant == VARIANTS[0]
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _layer(block, 64, 64, blocks[0], 1, variant)
        self.layer2 = _layer(block, 64 * block.expansion, 128, blocks[1], 2, variant)
        self.layer3 = _layer(block, 128 * block.expansion, 256, blocks[2], 2, variant)
        self.layer4 = _layer(block, 256 * block.expansion, 512, blocks[3], 2, variant)
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) -> (B, num_classes) logits."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args, **kwargs):
        if local_metadata.get("version", self._version) < self._version:
            warn_of_v1(self, "the state dict")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args, **kwargs)


def warn_of_v1(model: nn.Module, source: object) -> None:
    """Warn that `source` may hold weights of v1.5, if `model` is a ResNet of v1 bottlenecks: nothing in them tells."""
    if isinstance(model, ResNet) and model.is_v1:
        warnings.warn(
            f"{source} doesn't say whether its bottlenecks are v1 (stride on the 1x1) or v1.5 (on the 3x3, as "
            "torchvision's); it is taken for v1. resnet50(variant='v1.5'), --architecture variant=v1.5, is the other",
            stacklevel=3,
        )


@register(input_shape=(3, 224, 224))
def resnet18(
    num_classes: int = 1000, M: int | None = None, N: int | None = None, scheme: str | None = None
) -> nn.Module:
    """ResNet18.

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
    return approximated(ResNet(BasicBlock, (2, 2, 2, 2), num_classes), M, N, scheme)


@register(input_shape=(3, 224, 224))
def resnet34(
    num_classes: int = 1000, M: int | None = None, N: int | None = None, scheme: str | None = None
) -> nn.Module:
    """ResNet34.

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
    return approximated(ResNet(BasicBlock, (3, 4, 6, 3), num_classes), M, N, scheme)


@register(input_shape=(3, 224, 224))
def resnet50(
    num_classes: int = 1000,
    M: int | None = None,
    N: int | None = None,
    scheme: str | None = None,
    variant: str = VARIANTS[0],
) -> nn.Module:
    """ResNet50.

    Args:
        num_classes: Outputs of the classifier.
        M: Weight planes; None is the scheme's own number, or the float network where there is no scheme.
        N: Activation planes; None is full precision, or without M the scheme's own number.
        scheme: A quantization scheme's name; None is PA where M is given, otherwise the float network.
        variant: "v1" has the stride on the first 1x1 convolution of a bottleneck, as the paper's counts; "v1.5" on the
            3x3, as torchvision.

    Returns:
        The network, newly initialized: in float, or converted (paconv.models.approximate has the table).

    Raises:
        UsageError: There is N without M, the scheme is unknown or can't have these planes, or the variant is unknown.
    """
    return approximated(ResNet(Bottleneck, (3, 4, 6, 3), num_classes, variant), M, N, scheme)


def _layer(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, count: int, stride: int, variant: str
) -> nn.Sequential:
    out_channels = width * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    first = (
        Bottleneck(in_channels, width, stride, downsample, variant)
        if block is Bottleneck
        else block(in_channels, width, stride, downsample)
    )
    return nn.Sequential(first, *(block(out_channels, width, 1, None) for _ in range(count - 1)))

"""ResNet18 and 34 as Group-Net has them (Zhuang et al. 2019): in the place of each block, `bases` blocks in parallel.

With x_k the maps of branch k, x their sum or mean, act in whose place the sign comes, and pad1 padding with +1:

    y_k    = g x_k + (1 - g) x,   g = sigmoid(gate), a number a block     (y_k = x in the first block and without gates)
    z_k    = bn_k(relu(conv_k(pad1(act(y_k))))) + shortcut(y_k)
    x_k    = bn'_k(relu(conv'_k(pad1(act(z_k))))) + z_k
    x      = mean of x_k,   or with scales   sum of lambda_k x_k
    shortcut(y) = y,   or bn(conv1x1(act(y))) where the shape changes; one for all branches

This follows the authors' code (bohanzhuang/Group-Net-image-classification at bbe9c24): model.py lines 17-109 and
160-183 with gates and without scales, model_ablation_1.py with both, model_ablation_2.py with scales alone. conv1 and
the classifier stay real; the stem is conv1, max pooling, bn1, without an activation. Otherwise than there:

- The float network has min(max(x, -1), 1) for act ("clip", paconv.models.activations), there it is tanh: of a clip,
  nothing is left once the sign comes in its place.
- gate and lambda_k start from 0 and 1/bases; there from uniform random numbers between 0 and 1.
- All convolutions start from He et al. 2015; there from PyTorch's own initial weights.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.errors import UsageError
from paconv.models.activations import activation_class
from paconv.models.approximate import approximated
from paconv.models.initialize import initialize_convolutions
from paconv.models.registry import register

__all__ = ["GroupNetBlock", "GroupNetResNet", "groupnet18", "groupnet34"]


class GroupNetBlock(nn.Module):
    """Branches of two 3x3 convolutions each, with a batch norm behind each convolution.

    bases: branches; scales: whether each has a factor, instead of the mean; gated: whether branches of the block before
    come in one by one.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        *,
        bases: int,
        gated: bool,
        scales: bool,
        activation: type[nn.Module],
    ):
        super().__init__()
        self.act = activation()
        self.conv1 = nn.ModuleList(nn.Conv2d(in_channels, width, 3, stride, bias=False) for _ in range(bases))
        self.bn1 = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(bases))
        self.conv2 = nn.ModuleList(nn.Conv2d(width, width, 3, bias=False) for _ in range(bases))
        self.bn2 = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(bases))
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.gate = nn.Parameter(torch.zeros(1)) if gated else None
        self.scales = nn.Parameter(torch.full((bases,), 1 / bases)) if scales else None

    def forward(self, branches: list[Tensor] | None, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Maps of the branches and their sum or mean, each (B, C, H, W) -> the same of (B, width, H/stride, W/stride).

        branches: None where there are none yet.
        """
        made = []
        for k, (conv1, bn1, conv2, bn2) in enumerate(zip(self.conv1, self.bn1, self.conv2, self.bn2, strict=True)):
            y = x
            if self.gate is not None and branches is not None:
                g = torch.sigmoid(self.gate)
                y = g * branches[k] + (1 - g) * x
            active = self.act(y)
            identity = y if self.downsample is None else self.downsample(active)
            z = bn1(F.relu(conv1(_padded(active)))) + identity
            made.append(bn2(F.relu(conv2(_padded(self.act(z))))) + z)
        parts = made if self.scales is None else [self.scales[k] * each for k, each in enumerate(made)]
        total = reduce(add, parts)
        return made, total / len(made) if self.scales is None else total


class GroupNetResNet(nn.Module):
    """A 7x7 stem, four layers of blocks of 1, 2, 4 and 8 times `width` channels, and a linear classifier.

    blocks: of each layer; activation: class of act; the rest as for GroupNetBlock.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        num_classes: int,
        bases: int,
        gates: bool,
        scales: bool,
        activation: type[nn.Module],
        width: int = 64,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for number, count in enumerate(blocks):
            layer = nn.ModuleList()
            for block in range(count):
                out_channels = width << number
                stride = 2 if number and not block else 1
                gated = gates and bool(number or block)  # nothing comes in branches before the first block
                layer.append(
                    GroupNetBlock(
                        channels, out_channels, stride, bases=bases, gated=gated, scales=scales, activation=activation
                    )
                )
                channels = out_channels
            self.add_module(f"layer{number + 1}", layer)
        self.fc = nn.Linear(channels, num_classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) -> (B, num_classes) logits."""
        x = self.bn1(self.maxpool(self.conv1(x)))
        branches: list[Tensor] | None = None
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            assert isinstance(layer, nn.ModuleList)
            for block in layer:
                branches, x = block(branches, x)
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


@register(input_shape=(3, 224, 224))
def groupnet18(
    num_classes: int = 1000,
    M: int | None = None,
    N: int | None = None,
    scheme: str | None = None,
    activation: str | None = None,
    bases: int = 5,
    gates: bool = True,
    scales: bool = False,
) -> nn.Module:
    """ResNet18 in Group-Net's layout.

    Args:
        num_classes: Outputs of the classifier.
        M: Weight planes; None is the scheme's own number, or the float network where there is no scheme.
        N: Activation planes; None is full precision, or without M the scheme's own number.
        scheme: A quantization scheme's name; None is PA where M is given, otherwise the float network.
        activation: "relu" or "clip"; None is what the scheme needs (paconv.models.activations).
        bases: Branches of each block.
        gates: Whether a block reads a trained mixture of a branch and of all.
        scales: Whether branches are added up with trained factors, instead of their mean.

    Returns:
        The network, newly initialized: in float, or converted (paconv.models.approximate has the table).

    Raises:
        UsageError: There is N without M, or the scheme is unknown or can't have these planes, the activation function
            is unknown, or `bases` is no positive integer.
    """
    return _approximated((2, 2, 2, 2), num_classes, M, N, scheme, activation, bases, gates, scales)


@register(input_shape=(3, 224, 224))
def groupnet34(
    num_classes: int = 1000,
    M: int | None = None,
    N: int | None = None,
    scheme: str | None = None,
    activation: str | None = None,
    bases: int = 5,
    gates: bool = True,
    scales: bool = False,
) -> nn.Module:
    """ResNet34 in Group-Net's layout; arguments, result and errors as those of `groupnet18`."""
    return _approximated((3, 4, 6, 3), num_classes, M, N, scheme, activation, bases, gates, scales)


def _approximated(
    blocks: tuple[int, int, int, int],
    num_classes: int,
    M: int | None,
    N: int | None,
    scheme: str | None,
    activation: str | None,
    bases: int,
    gates: bool,
    scales: bool,
) -> nn.Module:
    if isinstance(bases, bool) or not isinstance(bases, int) or bases < 1:
        raise UsageError(f"bases must be a positive integer; found {bases!r}")
    for name, value in (("gates", gates), ("scales", scales)):
        if value not in (False, True):
            raise UsageError(f"{name} must be 0 or 1; found {value!r}")
    model = GroupNetResNet(blocks, num_classes, bases, bool(gates), bool(scales), activation_class(activation, scheme))
    return approximated(model, M, N, scheme)


def _padded(x: Tensor) -> Tensor:
    """x (B, C, H, W) with one pixel of +1 around it."""
    return F.pad(x, (1, 1, 1, 1), value=1.0)

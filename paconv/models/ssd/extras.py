"""The residual blocks behind the backbone, which make SSD300's maps of 5x5, 3x3 and 1x1."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ExtraBlock", "extra_blocks", "narrowing_block"]


class ExtraBlock(nn.Module):
    """A bottleneck, 1x1, 3x3 and 1x1 convolutions, whose shortcut is a mean over the 3x3's own windows and a 1x1.

    Stride and padding are those of the 3x3, so that a map of 3x3 can become 1x1 without padding, as in SSD300.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, padding: int):
        super().__init__()
        width = out_channels // 2
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.pool = nn.AvgPool2d(3, stride, padding)
        self.project = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, out_channels, OH, OW), OH = (H + 2 padding - 3) // stride + 1."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.bn(self.project(self.pool(x))))


def extra_blocks(in_channels: int) -> nn.ModuleList:
    """Three blocks of 256 channels, as many as SSD300 has there: 10x10 -> 5x5 -> 3x3 -> 1x1."""
    return nn.ModuleList([ExtraBlock(in_channels, 256, 2, 1), ExtraBlock(256, 256, 2, 1), ExtraBlock(256, 256, 1, 0)])


def narrowing_block(in_channels: int) -> ExtraBlock:
    """A block of 512 channels, as many as SSD300's map of 10x10 has, which leaves the size as it is."""
    return ExtraBlock(in_channels, 512, 1, 1)

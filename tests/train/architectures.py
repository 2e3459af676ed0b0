"""Architectures for small color images, known by name to `paconv train` once this is imported."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from paconv.models import register
from paconv.models.approximate import approximated
from paconv.models.ssd import SSD300_MAPS

__all__ = ["TinyColorNet", "TinyDetector", "tiny_color_net", "tiny_detector"]


class TinyColorNet(nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 8, 3, 2, 1, bias=False)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x).mean((2, 3)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.relu(self.norm(self.stem(x))))


class TinyBackbone(TinyColorNet):
    classifier, head = "tiny_color_net", "fc"

    def __init__(self) -> None:
        super().__init__(1)
        del self.fc

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)


class TinyDetector(nn.Module):
    """SSD300's outputs from one small convolution each; the maps are means of the backbone's."""

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes
        self.backbone = TinyBackbone()
        boxes = [each.boxes for each in SSD300_MAPS]
        self.locations = nn.ModuleList(nn.Conv2d(8, 4 * n, 1) for n in boxes)
        self.confidences = nn.ModuleList(nn.Conv2d(8, (classes + 1) * n, 1) for n in boxes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.backbone(x)
        maps = [F.interpolate(x, (each.cells, each.cells), mode="area") for each in SSD300_MAPS]
        return self._joined(self.locations, maps, 4), self._joined(self.confidences, maps, self.classes + 1)

    def _joined(self, heads: nn.ModuleList, maps: list[torch.Tensor], values: int) -> torch.Tensor:
        rows = [head(x).permute(0, 2, 3, 1).flatten(1) for head, x in zip(heads, maps, strict=True)]
        return torch.cat(rows, 1).unflatten(1, (-1, values))


@register(input_shape=(3, 16, 16))
def tiny_color_net(
    num_classes: int = 2, M: int | None = None, N: int | None = None, scheme: str | None = None
) -> nn.Module:
    """(B, 3, H, W) -> (B, num_classes)."""
    return approximated(TinyColorNet(num_classes), M, N, scheme)


@register(input_shape=(3, 300, 300))
def tiny_detector(
    num_classes: int = 20, M: int | None = None, N: int | None = None, scheme: str | None = None
) -> nn.Module:
    """(B, 3, H, W) -> what SSD300 gives."""
    return approximated(TinyDetector(num_classes), M, N, scheme, keep=("locations", "confidences"))

"""ResNet50 as SSD's backbone: Conv1 to Conv5_x, without the classifier."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from paconv.models.resnet import VARIANTS, Bottleneck, ResNet

__all__ = ["Backbone"]


class Backbone(ResNet):
    """ResNet50 that gives the maps of Conv3_x, Conv4_x and Conv5_x; state-dict keys are ResNet50's without `fc`."""

    channels = (512, 1024, 2048)
    """Channels of the three maps."""
    classifier, head = "resnet50", "fc"
    """The architecture whose weights are the backbone's, without those of its `head`."""

    def __init__(self, variant: str = VARIANTS[0]) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3), num_classes=1, variant=variant)
        del self.fc

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """x (B, 3, H, W) -> maps (B, 512, H/8, W/8), (B, 1024, H/16, W/16), (B, 2048, H/32, W/32), rounded up."""
        x = self.layer1(self.maxpool(F.relu(self.bn1(self.conv1(x)))))
        conv3 = self.layer2(x)
        conv4 = self.layer3(conv3)
        return conv3, conv4, self.layer4(conv4)

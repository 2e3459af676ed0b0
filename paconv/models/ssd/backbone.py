"""ResNet50 as SSD's backbone: Conv1 to Conv5_x, without the classifier."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from paconv.models.resnet import Bottleneck, ResNet

__all__ = ["Backbone"]


class Backbone(ResNet):
    """ResNet50 that gives the maps of Conv3_x, Conv4_x and Conv5_x; state-dict keys are ResNet50's without `fc`."""

    channels = (512, 1024, 2048)
    """Channels of the three maps."""

    def __init__(self) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3), num_classes=1)
        del self.fc

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """x (B, 3, H, W) -> maps (B, 512, H/8, W/8), (B, 1024, H/16, W/16), (B, 2048, H/32, W/32), rounded up."""
        x = self.layer1(self.maxpool(F.relu(self.bn1(self.conv1(x)))))
        conv3 = self.layer2(x)
        conv4 = self.layer3(conv3)
        return conv3, conv4, self.layer4(conv4)

    def load_classifier(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take over the weights of a ResNet50 (a state dict of `paconv.models.resnet50()`), its `fc` left out.

        Raises RuntimeError, as load_state_dict does, if anything else is missing or too much.
        """
        self.load_state_dict({name: value for name, value in state_dict.items() if not name.startswith("fc.")})

"""Group-Net: the quantizers of one bit of its branches. The branches are an architecture's: paconv.models.group_net.

    W_bar = mean |W| sign(W),   the mean over the whole tensor;   dC/dW = dC/dW_bar                   (the identity)
    x_bar = sign(x),            dx_bar/dx = 2 - 2 |x| for |x| < 1, else 0                             (as Bi-Real Net)

So has it the authors' code (bohanzhuang/Group-Net-image-classification at bbe9c24, new_layers.py): Q_W lines 28-34, Q_A
lines 9-24. 1x1 convolutions on shortcuts are converted too, since the authors' code binarizes them (model.py,
downsample_layer, lines 113-123). Of the article's decompositions this is the group-wise one, whole blocks in parallel;
what it says of layers, M convolutions in the place of each, is paconv.nn.schemes.group_net_layerwise.

Otherwise than there:
- sign(0) = +1; torch.sign gives 0.
- The code's gradient of an activation that is exactly 1 is the square of what comes in; here it is 0.
- The authors pad with +1 after the sign (self_conv, lines 72-77). Here the architecture does: `groupnet18` and
  `groupnet34` pad what the sign reads with +1. A convolution of any other network is padded as it says, with 0.

B. Zhuang, C. Shen, M. Tan, L. Liu, I. Reid: Structured Binary Neural Networks for Accurate Image Classification and
Semantic Segmentation, CVPR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from paconv.errors import UsageError
from paconv.nn.quantizer import SteppedWeight
from paconv.nn.schemes.bireal import BiRealSign
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.schemes.sign import sign_steps
from paconv.nn.steps import Steps
from paconv.schemes import SchemeRecord, records

__all__ = ["GroupNet", "GroupNetWeight"]


class GroupNetWeight(SteppedWeight):
    """mean |W| sign(W) of the whole tensor, with the gradient of the identity."""

    def steps(self, W: Tensor) -> Steps:
        return sign_steps(W.double().abs().mean().to(W.dtype).reshape(1, 1))

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        return W


@dataclass(frozen=True)
class GroupNet(Scheme):
    """Group-Net's scheme."""

    record: ClassVar[SchemeRecord] = records.GROUPNET
    rectified_apart: ClassVar[bool] = True

    M: int = record.default[0]
    """Weight planes: 1."""
    N: int | None = record.default[1]
    """Activation planes: 1."""

    def __post_init__(self) -> None:
        if self.N == 1 and not isinstance(self.M, bool) and self.M != 1:
            raise UsageError(
                f"{self.title} has M=1, N=1; found M={self.M!r}: its bases are the architecture's (groupnet18, "
                "bases=5), or layer by layer scheme groupnet_layerwise"
            )
        super().__post_init__()

    def weight_quantizer(self, conv: nn.Conv2d) -> GroupNetWeight:
        return GroupNetWeight()

    def activation(self, rectified: bool) -> BiRealSign:
        return BiRealSign(rectified)

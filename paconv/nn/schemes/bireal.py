"""Bi-Real Net: weights and activations of one bit, with a closer gradient of the sign and of the weights' magnitude.

    x_bar   = sign(x),   d x_bar / dx = 2 + 2x for -1 <= x < 0,  2 - 2x for 0 <= x < 1,  else 0       (eq. 7)
    W_bar   = |W|_1 / n sign(W)   for each filter W of n weights                                      (eq. 9)
    dW_bar/dW = |W|_1 / n   for |W| < 1,  else 0                                                      (eq. 10)

Its network has a shortcut around every single convolution, which is the architecture's part, not the scheme's; 1x1
convolutions on shortcuts stay real.

Z. Liu, B. Wu, W. Luo, X. Yang, W. Liu, K.-T. Cheng: Bi-Real Net: Enhancing the Performance of 1-bit CNNs with Improved
Representational Capability and Advanced Training Algorithm, ECCV 2018. |W|_1 / n a filter, as in the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from paconv.nn.schemes.scheme import Scheme
from paconv.nn.schemes.sign import SignActivation, SignWeight, filter_means
from paconv.nn.steps import Steps
from paconv.schemes import SchemeRecord, records

__all__ = ["BiReal", "BiRealSign", "BiRealWeight"]


class BiRealSign(SignActivation):
    """sign(x) with the derivative of a piecewise polynomial."""

    def slope(self, x: Tensor) -> Tensor:
        return (2 - 2 * x.abs()).clamp(min=0)


class BiRealWeight(SignWeight):
    """|W|_1/n sign(W) a filter, with the magnitude-aware gradient."""

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        present = W.detach()
        return W * (filter_means(present)[..., None, None] * (present.abs() < 1))


@dataclass(frozen=True)
class BiReal(Scheme):
    """Bi-Real Net's scheme."""

    record: ClassVar[SchemeRecord] = records.BIREAL
    rectified_apart: ClassVar[bool] = True

    M: int = record.default[0]
    """Weight planes: 1."""
    N: int | None = record.default[1]
    """Activation planes: 1."""

    def weight_quantizer(self, conv: nn.Conv2d) -> BiRealWeight:
        return BiRealWeight()

    def activation(self, rectified: bool) -> BiRealSign:
        return BiRealSign(rectified)

"""Bi-Real Net: weights and activations of one bit, with a closer gradient of the sign and of the weights' magnitude.

    x_bar   = sign(x),   d x_bar / dx = 2 + 2x for -1 <= x < 0,  2 - 2x for 0 <= x < 1,  else 0       (eq. 7)
    W_bar   = |W|_1 / n sign(W)   for each filter W of n weights                                      (eq. 9)
    dW_bar/dW = |W|_1 / n   for |W| < 1,  else 0                                                      (eq. 10)

The authors' code has no |W|_1 / n in the gradient (liuzechun/Bi-Real-net at f58aa4d: birealnet.py of BiReal18_34, lines
53-56, where it is detached and the clip's gradient is taken, 1 for |W| <= 1; the Caffe layer,
binary_conv_train_layer.cu, lines 107-120, has the gradient 1 for all W). The article's magnitude-aware gradient is the
default here; the code's is `magnitude_aware=False`. For Adam the factor matters little: it is one number for each
filter, and moves slowly.

Its network has a shortcut around every single convolution, which is the architecture's part, not the scheme's; 1x1
convolutions on shortcuts stay real.

Z. Liu, B. Wu, W. Luo, X. Yang, W. Liu, K.-T. Cheng: Bi-Real Net: Enhancing the Performance of 1-bit CNNs with Improved
Representational Capability and Advanced Training Algorithm, ECCV 2018. |W|_1 / n a filter, as in the authors' code.
sign(0) = +1, as in the Caffe code; torch.sign of the PyTorch one gives 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from paconv.errors import UsageError
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
    """|W|_1/n sign(W) a filter; magnitude_aware: with the article's gradient, otherwise with that of the code."""

    def __init__(self, magnitude_aware: bool = True):
        super().__init__()
        self.magnitude_aware = magnitude_aware

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        present = W.detach()
        if not self.magnitude_aware:
            return W * (present.abs() <= 1)
        return W * (filter_means(present)[..., None, None] * (present.abs() < 1))

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("magnitude_aware", True)  # pickled before there was a choice

    def extra_repr(self) -> str:
        return "" if self.magnitude_aware else "magnitude_aware=False"


@dataclass(frozen=True)
class BiReal(Scheme):
    """Bi-Real Net's scheme."""

    record: ClassVar[SchemeRecord] = records.BIREAL
    rectified_apart: ClassVar[bool] = True

    M: int = record.default[0]
    """Weight planes: 1."""
    N: int | None = record.default[1]
    """Activation planes: 1."""
    magnitude_aware: bool = True
    """Whether the gradient of weights has the factor |W|_1/n."""

    added_later: ClassVar[dict[str, object]] = {"magnitude_aware": True}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.magnitude_aware, bool):
            raise UsageError(f"{self.title}: magnitude_aware must be True or False; found {self.magnitude_aware!r}")

    def weight_quantizer(self, conv: nn.Conv2d) -> BiRealWeight:
        return BiRealWeight(self.magnitude_aware)

    def activation(self, rectified: bool) -> BiRealSign:
        return BiRealSign(rectified)

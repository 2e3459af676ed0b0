"""BWN, Binary-Weight-Networks: weights of one bit, full-precision activations.

    W ~ alpha B,   B = sign(W),   alpha = |W|_1 / n        for each filter W of n weights             (eqs. 4-6)
    dC/dW_i = dC/dW~_i (1/n + dsign/dW_i alpha),   dsign/dr = 1 for |r| <= 1, else 0                  (sec. 3.1)

The gradient is the printed one: what W_i changes in alpha counts for its own product only.

The authors' code (allenai/XNOR-Net at 4006d59, util.lua and train.lua lines 168-182) does more, which is not done here:
- Before each forward W itself is centred, over the C input channels at each place of the kernel, and clamped to [-1, 1]
  (meancenterConvParms, clampConvParms, lines 99-109 and 125-132).
- The gradient is multiplied by 1 - 1/C, by n for SGD, and by 1e9, which is Adam's concern (lines 78-94, train.lua 186).
- dsign/dr = 0 at |r| = 1, and sign(0) = 0; here +1.

jiecaoyu/XNOR-Net-PyTorch (ebccb50, util.py lines 68-89), a port that many use, has the exact derivative of alpha
instead: a sum over the filter in the place of the 1/n.

M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi: XNOR-Net: ImageNet Classification Using Binary Convolutional Neural
Networks, ECCV 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from paconv.nn.quantizer import ActivationQuantizer
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.schemes.sign import SignWeight, filter_means
from paconv.nn.steps import Steps
from paconv.schemes import SchemeRecord, records

__all__ = ["BWN", "BWNWeight"]


class BWNWeight(SignWeight):
    """alpha sign(W) a filter, with the gradient above."""

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        present = W.detach()
        alpha = filter_means(present)[..., None, None]
        return W * (1 / present[0].numel() + alpha * (present.abs() <= 1))


@dataclass(frozen=True)
class BWN(Scheme):
    """BWN's scheme."""

    record: ClassVar[SchemeRecord] = records.BWN

    M: int = record.default[0]
    """Weight planes: 1."""
    N: int | None = record.default[1]
    """None: activations have full precision."""

    def weight_quantizer(self, conv: nn.Conv2d) -> BWNWeight:
        return BWNWeight()

    def activation(self, rectified: bool) -> ActivationQuantizer:
        raise AssertionError("BWN has full-precision activations")

"""XNOR-Net: weights and activations of one bit, with a scale for each filter and one for each window of the input.

    I * W ~ (sign(I) (*) sign(W)) . K alpha                                                           (eq. 11)
    A = mean of |I| over the channels,   K = A * k,   k_ij = 1/(w h)
    dsign/dr = 1 for |r| <= 1, else 0;  weights as in BWN

K is padded as A is, with zeros. Of a grouped convolution each group has its own K. No gradient passes through K, as
none passes through alpha but BWN's. In the graph K is standard ops (Abs, ReduceMean, AveragePool) and one
multiplication for each output; the batch norm before the sign serves both and stays. `input_scaling=False` leaves K
out, as most later work does.

So does the authors' own code (allenai/XNOR-Net at 4006d59): its layer BinActiveZ (newLayers/BinActiveZ.lua) is a sign,
and models/alexnetxnor.lua has no K. Its blocks are batch norm, sign, convolution, without a ReLU (lines 13-28); the
sign lets gradients through for |r| < 1, here for |r| <= 1, and sign(0) = 0, here +1. Weights: paconv.nn.schemes.bwn.

M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi: XNOR-Net: ImageNet Classification Using Binary Convolutional Neural
Networks, ECCV 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.errors import UsageError
from paconv.nn.layers import PAConv2d
from paconv.nn.quantizer import ActivationQuantizer
from paconv.nn.schemes.bwn import BWNWeight
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.schemes.sign import ClippedSign
from paconv.schemes import SchemeRecord, records

__all__ = ["XNOR", "XNORConv2d"]


class XNORConv2d(PAConv2d):
    """A PAConv2d whose output is multiplied by K."""

    def input_scale(self, x: Tensor) -> Tensor:
        """K (B, 1 or O, OH, OW) of x (B, C, H, W)."""
        magnitude = x.detach().abs()
        if self.groups == 1:
            A = magnitude.mean(1, keepdim=True)
        else:
            A = magnitude.unflatten(1, (self.groups, -1)).mean(2)
        pads_evenly = not isinstance(self.padding, str) and all(
            2 * p <= k for p, k in zip(self.padding, self.kernel_size, strict=True)
        )
        if pads_evenly and set(self.dilation) == {1}:
            K = F.avg_pool2d(A, self.kernel_size, self.stride, self.padding)  # type: ignore[arg-type]  # no text: pads_evenly
        else:
            box = torch.full((self.groups, 1, *self.kernel_size), 1 / self.weight[0, 0].numel(), device=x.device)
            K = F.conv2d(A, box.to(x.dtype), None, self.stride, self.padding, self.dilation, self.groups)
        return K if self.groups == 1 else K.repeat_interleave(self.out_channels // self.groups, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, O, OH, OW)."""
        assert self.activation is not None
        y = self._conv_forward(self.activation(x), self.weight_quantizer(self.weight), None) * self.input_scale(x)
        return y if self.bias is None else y + self.bias[:, None, None]


@dataclass(frozen=True)
class XNOR(Scheme):
    """XNOR-Net's scheme."""

    record: ClassVar[SchemeRecord] = records.XNOR
    any_padding: ClassVar[bool] = False
    rectified_apart: ClassVar[bool] = True

    M: int = record.default[0]
    """Weight planes: 1."""
    N: int | None = record.default[1]
    """Activation planes: 1."""
    input_scaling: bool = True
    """Whether outputs are scaled by K."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.input_scaling, bool):
            raise UsageError(f"{self.title}: input_scaling must be True or False; found {self.input_scaling!r}")

    def weight_quantizer(self, conv: nn.Conv2d) -> BWNWeight:
        return BWNWeight()

    def activation(self, rectified: bool) -> ClippedSign:
        return ClippedSign(rectified)

    def layer(self, conv: nn.Conv2d, activation: ActivationQuantizer | None) -> nn.Module:
        kind = XNORConv2d if self.input_scaling else PAConv2d
        return kind.from_conv(conv, self.weight_quantizer_for(conv), activation)

"""Group-Net layer by layer: M parallel convolutions of one bit in the place of each, added.

    F(x) = sum_k lambda_k B_k(x),   B_k(x) = (alpha_k sign(W_k)) * sign(x),   alpha_k = mean |W_k| a filter
    dsign(x)/dx as in Bi-Real Net;   dsign(W_k)/dW_k = 1 for |W_k| <= 1, else 0
    dC/dlambda_k = sum of dC/dW_bar_k alpha_k sign(W_k)

Each base has weights W_k of its own and a trained lambda_k; all read one binary activation. M PABitConvs and additions
run it.

It is the article's layer-wise decomposition, for any network, with much that is ours. The authors' code has it as a
layer that none of its networks uses (bohanzhuang/Group-Net-image-classification at bbe9c24, new_layers.py, new_conv,
lines 81-105), and otherwise:
- alpha_k is one number for the whole tensor there, and dC/dW_k = lambda_k dC/dW_bar_k, the identity (Q_W, lines 28-34).
- lambda_k starts from a uniform random number there (line 91), and each base from weights of its own. Here the bases
  start as a greedy approximation of the trained weight W: lambda_k = 1, W_1 = W, W_{k+1} = W_k - alpha_k sign(W_k).
- Padding is +1 after the sign there (lines 96-98), 0 here.
- 1x1 convolutions on shortcuts are binary there (model.py, lines 113-123); here they stay real unless
  `shortcuts` says otherwise.
- There is no batch norm of its own behind each base here; in the group-wise form, the article's and the authors'
  networks', there is: paconv.nn.schemes.group_net with the architecture of paconv.models.group_net.

B. Zhuang, C. Shen, M. Tan, L. Liu, I. Reid: Structured Binary Neural Networks for Accurate Image Classification and
Semantic Segmentation, CVPR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar

import torch
from torch import Tensor, nn

from paconv.errors import UsageError
from paconv.nn.layers import PAConv2d
from paconv.nn.quantizer import ActivationQuantizer, SteppedWeight
from paconv.nn.schemes.bireal import BiRealSign
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.schemes.sign import filter_means, sign_steps
from paconv.nn.steps import Steps
from paconv.schemes import SchemeRecord, records

__all__ = ["GroupNetLayerwise", "LayerwiseConv2d", "LayerwiseWeight"]


class LayerwiseWeight(SteppedWeight):
    """lambda alpha sign(W) a filter; trained: `scale` (1,) is lambda."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def steps(self, W: Tensor) -> Steps:
        return sign_steps(self.scale.detach() * filter_means(W))

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        present = W.detach()
        alpha = filter_means(present)[..., None, None]
        sign = 2 * (present >= 0).to(W.dtype) - 1
        return W * (self.scale.detach() * alpha * (present.abs() <= 1)) + self.scale * (alpha * sign)


class LayerwiseConv2d(nn.Module):
    """The sum of `bases`, which read one `activation`. The first has the bias. Takes the place of an nn.Conv2d."""

    def __init__(self, conv: nn.Conv2d, bases: list[PAConv2d], activation: ActivationQuantizer):
        super().__init__()
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.stride, self.groups = conv.kernel_size, conv.stride, conv.groups
        self.activation = activation
        self.bases = nn.ModuleList(bases)
        self.train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, O, OH, OW)."""
        x = self.activation(x)
        return reduce(add, (base(x) for base in self.bases))


@dataclass(frozen=True)
class GroupNetLayerwise(Scheme):
    """Group-Net's scheme, layer by layer."""

    record: ClassVar[SchemeRecord] = records.GROUPNET_LAYERWISE
    any_padding: ClassVar[bool] = False
    rectified_apart: ClassVar[bool] = True

    M: int = record.default[0]
    """Bases: 1..8."""
    N: int | None = record.default[1]
    """Activation planes: 1."""

    def weight_quantizer(self, conv: nn.Conv2d) -> LayerwiseWeight:
        return LayerwiseWeight()

    def activation(self, rectified: bool) -> BiRealSign:
        return BiRealSign(rectified)

    @torch.no_grad()
    def layer(self, conv: nn.Conv2d, activation: ActivationQuantizer | None) -> nn.Module:
        if activation is None:
            raise UsageError(f"{self.title} needs binary activations")
        bases, rest = [], conv.weight.detach().clone()
        for k in range(self.M):
            base = PAConv2d.from_conv(conv, self.weight_quantizer_for(conv), None)
            base.weight = nn.Parameter(rest.clone(), requires_grad=conv.weight.requires_grad)
            if k:
                base.bias = None
            bases.append(base)
            rest = rest - filter_means(rest)[..., None, None] * (2 * (rest >= 0).to(rest.dtype) - 1)
        return LayerwiseConv2d(conv, bases, activation)

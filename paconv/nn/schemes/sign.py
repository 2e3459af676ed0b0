"""Single-bit quantizers: a sign with a scale, of weights and of activations. Schemes differ in their gradients.

    W_bar[o] = alpha_o sign(W[o]),   alpha_o = mean |W[o]| over the filter           sign(0) = +1
    x_bar    = sign(x)

As planes (one per side, since +-1 = 2 T - 1): alpha_0 = -alpha_o, alpha_1 = 2 alpha_o; beta = [-1, 2].

Where x went through a ReLU, an exact zero is what the ReLU left of a negative activation, and its sign is -1: otherwise
sign(ReLU(x)) would be +1 everywhere. The endpoint is then the smallest normal number above 0, so that for x != 0
sign(ReLU(x)) = sign(x). This is ours; published networks of these schemes have no ReLU before a binary convolution.
A ReLU also stops the gradient of negative activations, which these schemes would let through.

Padding is 0 after the sign: neither of the two values. So have it the codes of XNOR-Net and Bi-Real Net; Group-Net pads
with +1, see there.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from paconv.nn.quantizer import SteppedActivation, SteppedWeight
from paconv.nn.rounding import below
from paconv.nn.steps import Steps

__all__ = ["ClippedSign", "SignActivation", "SignWeight", "filter_means", "sign_steps"]


def filter_means(W: Tensor) -> Tensor:
    """mean |W[o]| of each filter: W (O, C/g, KH, KW) -> (O, 1) of W's dtype."""
    return W.double().abs().flatten(1).mean(1, keepdim=True).to(W.dtype)


def sign_steps(scale: Tensor) -> Steps:
    """scale * sign(W), sign(0) = +1: scale (R, 1)."""
    zero = torch.zeros((1, 1), dtype=torch.float64, device=scale.device)
    masks = torch.tensor([[0, 1]], dtype=torch.uint8, device=scale.device)
    return Steps(below(zero, scale.dtype), torch.cat([-scale, 2 * scale], 1), masks)


class SignWeight(SteppedWeight):
    """alpha_o sign(W[o]) with alpha_o = mean |W[o]|. Subclasses give the gradient."""

    def steps(self, W: Tensor) -> Steps:
        return sign_steps(filter_means(W))


class SignActivation(SteppedActivation):
    """sign(x). rectified: exact zeros are negative activations. Subclasses give the gradient."""

    def __init__(self, rectified: bool = False):
        super().__init__()
        self.rectified = rectified

    def steps(self) -> Steps:
        least = torch.finfo(torch.float32).tiny if self.rectified else 0.0
        masks = torch.tensor([[0, 1]], dtype=torch.uint8)
        return Steps(torch.tensor([[least]]), torch.tensor([[-1.0, 2.0]]), masks)

    @abstractmethod
    def slope(self, x: Tensor) -> Tensor:
        """d x_bar / d x (...)."""

    def through(self, x: Tensor, steps: Steps) -> Tensor:
        return x * self.slope(x.detach())

    def extra_repr(self) -> str:
        return f"rectified={self.rectified}"


class ClippedSign(SignActivation):
    """sign(x) with the straight-through gradient 1 for |x| <= 1, else 0."""

    def slope(self, x: Tensor) -> Tensor:
        return (x.abs() <= 1).to(x.dtype)

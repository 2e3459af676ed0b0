"""Initial weights of convolutions in front of a ReLU."""

from __future__ import annotations

from math import prod, sqrt

from torch import nn

__all__ = ["initialize_convolutions"]


def initialize_convolutions(model: nn.Module) -> None:
    """Draw the weights of every nn.Conv2d of `model` from a Gaussian of variance 2 / (O/g KH KW), in place.

    He et al. 2015, eq. 14: with g groups, O/g KH KW outputs read an input. Biases become 0.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            readers = module.out_channels // module.groups * prod(module.kernel_size)
            nn.init.normal_(module.weight, std=sqrt(2 / readers))
            if module.bias is not None:
                nn.init.zeros_(module.bias)

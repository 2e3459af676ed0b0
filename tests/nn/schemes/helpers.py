"""Weights, activations and gradients for the tests of schemes. Reference computations are numpy's, in float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["activations", "conv_of", "gradient_of", "incoming", "weights"]


def weights(seed: int = 0, shape: tuple[int, ...] = (6, 4, 3, 3), std: float = 0.4) -> Tensor:
    """Gaussian weights, some of them beyond +-1, and an exact 0."""
    W = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * std
    W.view(-1)[5], W.view(-1)[7], W.view(-1)[11] = 1.5, -1.25, 0.0
    return W


def activations(seed: int = 1, shape: tuple[int, ...] = (2, 3, 7, 5)) -> Tensor:
    """Gaussian activations, with exact 0, +-1 and 0.5 among them."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 1.5
    x.view(-1)[:4] = torch.tensor([0.0, 1.0, -1.0, 0.5])
    return x


def incoming(like: Tensor, seed: int = 2) -> Tensor:
    """A gradient that arrives from behind."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def gradient_of(quantizer: nn.Module, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(incoming gradient, gradient of x), float64; the quantizer's parameters have theirs in `.grad`."""
    x = x.clone().requires_grad_()
    g = incoming(x)
    quantizer(x).backward(g)
    return g.double().numpy(), x.grad.double().numpy()


def conv_of(W: Tensor) -> nn.Conv2d:
    """A convolution with the weight W."""
    conv = nn.Conv2d(W.shape[1], W.shape[0], tuple(W.shape[2:]), bias=False)
    conv.weight = nn.Parameter(W.clone())
    return conv

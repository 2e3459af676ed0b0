"""Weights of three values, two planes: what TWN and TTQ have in common.

    W_bar = -low for W < -delta,   0 for |W| <= delta,   high for W > delta

Planes: alpha = [0, -low, high], one each for the two outer pieces.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paconv.nn.rounding import at_most, below
from paconv.nn.steps import Steps

__all__ = ["outer_means", "ternary_steps"]


def ternary_steps(delta: Tensor, low: Tensor, high: Tensor) -> Steps:
    """The step function above. delta () float64; low, high (1,) of the weights' dtype."""
    endpoints = torch.stack([below(-delta, low.dtype), at_most(delta, low.dtype)])[None]
    masks = torch.tensor([[1, 0, 2]], dtype=torch.uint8, device=low.device)
    return Steps(endpoints, torch.cat([torch.zeros_like(low), -low, high])[None], masks)


def outer_means(W: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """(mean |W| of W < -delta, mean W of W > delta), each () float64; 0 where there is no such weight."""
    W = W.double()
    return tuple((W.abs() * side).sum() / side.sum().clamp(min=1) for side in (W < -delta, W > delta))  # type: ignore

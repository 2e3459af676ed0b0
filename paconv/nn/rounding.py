"""From an endpoint in float64 to the float beside it that decides alike, for every float w:

    w > at_most(t)    if and only if  w > t          w > below(t)     if and only if  w >= t
    w >= at_least(t)  if and only if  w >= t         w >= above(t)    if and only if  w > t

PAWeight decides by w > u, PAActivation by x >= v; schemes are published with either.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["above", "at_least", "at_most", "below"]


def at_most(t: Tensor, dtype: torch.dtype) -> Tensor:
    """The largest number of `dtype` that is <= t (...) float64."""
    near = t.to(dtype)
    return torch.where(near.double() > t, _beside(near, -torch.inf), near)


def below(t: Tensor, dtype: torch.dtype) -> Tensor:
    """The largest number of `dtype` that is < t (...) float64."""
    near = t.to(dtype)
    return torch.where(near.double() >= t, _beside(near, -torch.inf), near)


def at_least(t: Tensor, dtype: torch.dtype) -> Tensor:
    """The smallest number of `dtype` that is >= t (...) float64."""
    return -at_most(-t, dtype)


def above(t: Tensor, dtype: torch.dtype) -> Tensor:
    """The smallest number of `dtype` that is > t (...) float64."""
    return -below(-t, dtype)


def _beside(x: Tensor, towards: float) -> Tensor:
    return torch.nextafter(x, torch.full_like(x, towards))

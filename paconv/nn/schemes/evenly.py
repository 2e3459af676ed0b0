"""Evenly spaced levels: the binary digits of a level's index are its planes.

    level_j = first + j step,   j = 0..2^k - 1;   coefficients [first, step, 2 step, 4 step, ..],   mask of piece j: j

So 8-bit activations are 255 endpoints but 8 planes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paconv.nn.steps import Steps

__all__ = ["even_steps"]


def even_steps(endpoints: Tensor, first: float, step: float) -> Steps:
    """Levels first + j step between the endpoints (1, 2^k - 1), of their dtype."""
    count = endpoints.shape[1] + 1
    digits = step * 2.0 ** torch.arange(count.bit_length() - 1, dtype=torch.float64, device=endpoints.device)
    coefficients = torch.cat([digits.new_tensor([first]), digits]).to(endpoints.dtype)
    masks = torch.arange(count, dtype=torch.uint8, device=endpoints.device)
    return Steps(endpoints, coefficients[None], masks[None])

"""Evenly spaced levels: the binary digits of a level's index are its planes.

    level_j = (first + j step) unit,   j = 0..2^k - 1;   first, step integers
    coefficients [first, step, 2 step, 4 step, ..] unit,   mask of piece j: j

So 8-bit activations are 255 endpoints but 8 planes. The unit is rounded so that all these products and sums are
float32 numbers exactly: levels are on an integer grid (paconv.grid). Of levels up to 2^k - 1 that is a relative
2^(k-24) at most, a common factor of all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paconv.grid import exact_unit
from paconv.nn.steps import Steps

__all__ = ["even_steps"]


def even_steps(endpoints: Tensor, first: int, step: int, unit: float) -> Steps:
    """Levels (first + j step) unit between the endpoints (1, 2^k - 1), of their dtype."""
    count = endpoints.shape[1] + 1
    digits = step * 2 ** torch.arange(count.bit_length() - 1, dtype=torch.int64, device=endpoints.device)
    integers = torch.cat([digits.new_tensor([first]), digits])
    largest = max(abs(first), abs(first + step * (count - 1)), int(digits[-1]))
    coefficients = (exact_unit(unit, largest) * integers.double()).to(endpoints.dtype)
    masks = torch.arange(count, dtype=torch.uint8, device=endpoints.device)
    return Steps(endpoints, coefficients[None], masks[None])

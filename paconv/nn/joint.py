"""Sums over the joint batch, where several processes train one model and each runs a share of it."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

__all__ = ["joint_sum"]


def joint_sum(values: Tensor) -> Tensor:
    """Sum of `values` (...) over the processes of torch.distributed, the same in each; `values` where there are none.

    All processes must call it in the same order, with one shape and dtype.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values

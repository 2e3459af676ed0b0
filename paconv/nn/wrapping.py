"""Modules around a model that torch offers for training, and the model within; and models that are no modules of code.

    DataParallel, DistributedDataParallel, AveragedModel    hold it as `module`
    torch.compile                                           holds it as `_orig_mod`

What paconv records of a model lies on the model, not on what is around it, and names of layers are the model's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from paconv.errors import UsageError

__all__ = ["unwrapped"]

_WITHIN = "_orig_mod"
"""Where what torch.compile returns has the model; its class is in a private module that takes a second to import."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The model within any of torch's wrappers, `model` itself where there is none.

    Raises UsageError for a TorchScript module, whose layers are compiled code, and for a FullyShardedDataParallel,
    of which each process has a part.
    """
    while True:
        if isinstance(model, torch.jit.ScriptModule):
            raise UsageError(
                "model: expected a torch.nn.Module with its code, found a TorchScript module, whose layers are "
                "compiled already; give the module that it was made from"
            )
        if hasattr(model, "_fsdp_wrapped_module"):
            raise UsageError(
                "model: found a FullyShardedDataParallel, of which each process has a part; collect its full state "
                "dict, load that into the model it was made from, and give that"
            )
        inner: Any = None
        if isinstance(model, (DataParallel, DistributedDataParallel, AveragedModel)):
            inner = model.module
        elif type(model).__name__ == "OptimizedModule":
            inner = getattr(model, _WITHIN, None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner

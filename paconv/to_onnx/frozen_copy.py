"""The copy of a model that is exported: without what torch wraps around it, checked, in eval mode, on the CPU, with
constant weights where layers compute them, and constant quantizers on a grid.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from paconv.errors import ExportError, UsageError
from paconv.grid import GridChoice
from paconv.nn.computed_weights import computed_by, copied, fix_
from paconv.nn.layers import freeze_
from paconv.nn.snapping import LevelReport, snap_if_real_
from paconv.nn.wrapping import unwrapped

__all__ = ["MAX_BYTES", "frozen_copy"]

MAX_BYTES = (1 << 31) - (1 << 24)
"""Protobuf's limit for one file is 2 GiB; nodes, shapes and names get 16 MiB of it."""


def frozen_copy(model: nn.Module, grid: GridChoice) -> tuple[nn.Module, LevelReport | None]:
    """A copy of `model` ready to be traced, and its levels, on `grid` unless they are already (paconv.nn.snapping).

    `model` itself stays as it is. Raises ExportError naming the first tensor that is not finite, not loaded or not
    float32, for a model of more than MAX_BYTES, and for one that can't be copied.
    """
    model = unwrapped(model)
    _check_tensors(model)
    try:
        made = copied(model)
    except UsageError as error:
        raise ExportError(str(error)) from error
    for layer in list(made.modules()):
        if computed_by(layer):
            fix_(layer)
    made = made.eval().cpu().requires_grad_(False)
    levels = snap_if_real_(made, grid)
    return freeze_(made), levels


def _check_tensors(model: nn.Module) -> None:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    if size > MAX_BYTES:
        raise ExportError(
            f"the model has {size / 2**30:.2f} GiB of parameters, an ONNX file holds less than 2 GiB; "
            "export a smaller model, or parts of it"
        )
    statistics = {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if isinstance(module, _NormBase)
        for name, _ in module.named_buffers(recurse=False)
    }
    parameters = {name for name, _ in model.named_parameters()}
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise ExportError(f"{name} is on the meta device, without values; load the model's weights first")
        if not tensor.is_floating_point():
            continue
        if name in parameters and tensor.dtype != torch.float32:
            raise ExportError(f"{name}: expected float32, found {tensor.dtype}; call model.float() first")
        # Other buffers may well hold inf: masks do.
        if name in parameters | statistics and not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise ExportError(f"{name} holds NaN or inf ({count} of {tensor.numel()} values); a finite model is needed")

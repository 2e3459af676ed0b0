"""The step every architecture ends with: stay real, or become the PA counterpart."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from paconv.errors import UsageError
from paconv.nn.convert import convert

__all__ = ["approximated"]


def approximated(model: nn.Module, M: int | None, N: int | None, keep: Iterable[str] = ()) -> nn.Module:
    """`model` itself for M = N = None, otherwise `convert(model, M, N, keep=keep)`. UsageError for N without M."""
    if M is not None:
        return convert(model, M, N, keep=keep)
    if N is not None:
        raise UsageError(f"N={N} needs M: activations are approximated only together with weights; give M=2, 4, 6 or 8")
    return model

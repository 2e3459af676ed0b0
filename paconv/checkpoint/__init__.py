"""Checkpoints: a trained model in a file that another process can open without running anything stored in it.

`model.pt` is a torch.save of the dict described in paconv.checkpoint.container, read with weights_only=True.
"""

from __future__ import annotations

from paconv.checkpoint.loading import load
from paconv.checkpoint.saving import save

__all__ = ["load", "save"]

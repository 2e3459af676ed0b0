"""Ready-made architectures: M=None builds the float network, M and N its PA counterpart."""

from __future__ import annotations

from paconv.models.digits import digits_resnet
from paconv.models.registry import build, names, register
from paconv.models.resnet import resnet18, resnet34, resnet50

__all__ = ["build", "digits_resnet", "names", "register", "resnet18", "resnet34", "resnet50"]

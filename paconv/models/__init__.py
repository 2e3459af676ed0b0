"""Ready-made architectures: float, or quantized by a scheme.

paconv.models.approximate has the table of what M, N and scheme mean together.
"""

from __future__ import annotations

from paconv.models.bireal import bireal18, bireal34
from paconv.models.densenet import densenet121
from paconv.models.digits import digits_resnet
from paconv.models.group_net import groupnet18, groupnet34
from paconv.models.mobilenet import mobilenet_v1
from paconv.models.registry import build, input_shape, names, register
from paconv.models.resnet import resnet18, resnet34, resnet50
from paconv.models.ssd import ssd300

__all__ = [
    "bireal18",
    "bireal34",
    "build",
    "densenet121",
    "digits_resnet",
    "groupnet18",
    "groupnet34",
    "input_shape",
    "mobilenet_v1",
    "names",
    "register",
    "resnet18",
    "resnet34",
    "resnet50",
    "ssd300",
]

"""Quantization schemes in torch, PA first: quantizers, the quantized convolution, conversion and calibration.

For users: inside paconv each name is imported from its own module. The report on a conversion predicts its speed, with
much that stands above this package, and is loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from paconv.nn.calibrate import Calibration, calibrate, settle_batch_norm
from paconv.nn.convert import convert, convert_from_config
from paconv.nn.layers import PAConv2d, freeze_, parameter_groups, project_
from paconv.nn.quantizers import PAActivation, PAWeight
from paconv.nn.snapping import LevelReport, level_report, snap_
from paconv.tested_torch import warn_if_untested

if TYPE_CHECKING:
    from paconv.conversion import ConversionReport, conversion_report

__all__ = [
    "Calibration",
    "ConversionReport",
    "LevelReport",
    "PAActivation",
    "PAConv2d",
    "PAWeight",
    "calibrate",
    "conversion_report",
    "convert",
    "convert_from_config",
    "freeze_",
    "level_report",
    "parameter_groups",
    "project_",
    "settle_batch_norm",
    "snap_",
]

warn_if_untested(torch.__version__)  # here, as whatever of paconv uses torch imports this package


def __getattr__(name: str):
    if name not in ("ConversionReport", "conversion_report"):
        raise AttributeError(f"module 'paconv.nn' has no attribute {name!r}")
    from paconv import conversion

    return getattr(conversion, name)

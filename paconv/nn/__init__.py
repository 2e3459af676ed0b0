"""Quantization schemes in torch, PA first: quantizers, the quantized convolution, conversion and calibration."""

from __future__ import annotations

import torch

from paconv.nn.calibrate import Calibration, calibrate, settle_batch_norm
from paconv.nn.convert import convert, convert_from_config
from paconv.nn.layers import PAConv2d, freeze_, parameter_groups, project_
from paconv.nn.quantizers import PAActivation, PAWeight
from paconv.nn.report import ConversionReport, conversion_report
from paconv.nn.snapping import LevelReport, level_report, snap_
from paconv.tested_torch import warn_if_untested

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

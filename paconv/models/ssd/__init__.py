"""SSD300: the network, its priors and box coding, training targets and loss, detections and their evaluation."""

from __future__ import annotations

from paconv.models.ssd.boxes import decode, encode, iou
from paconv.models.ssd.detections import Detections, detect
from paconv.models.ssd.evaluation import MeanAveragePrecision, Objects, mean_average_precision
from paconv.models.ssd.loss import MultiboxLoss
from paconv.models.ssd.matching import match
from paconv.models.ssd.network import SSD300, ssd300
from paconv.models.ssd.nms import non_maximum_suppression
from paconv.models.ssd.onnx_detections import with_detections
from paconv.models.ssd.priors import SSD300_MAPS, PriorMap, prior_boxes

__all__ = [
    "SSD300",
    "SSD300_MAPS",
    "Detections",
    "MeanAveragePrecision",
    "MultiboxLoss",
    "Objects",
    "PriorMap",
    "decode",
    "detect",
    "encode",
    "iou",
    "match",
    "mean_average_precision",
    "non_maximum_suppression",
    "prior_boxes",
    "ssd300",
    "with_detections",
]

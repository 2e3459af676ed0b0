"""From what SSD gives, locations and confidences, to detections: decoding, softmax, and suppression class by class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paconv.models.ssd.boxes import decode
from paconv.models.ssd.matching import BACKGROUND
from paconv.models.ssd.nms import non_maximum_suppression

__all__ = ["Detections", "detect"]


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first."""

    boxes: Tensor
    """(n, 4): corners, relative to the image and within it."""
    labels: Tensor
    """(n,) int64, from 1."""
    scores: Tensor
    """(n,)."""


@torch.no_grad()
def detect(
    locations: Tensor,
    confidences: Tensor,
    priors: Tensor,
    *,
    min_score: float = 0.01,
    overlap: float = 0.45,
    per_class: int = 400,
    per_image: int = 200,
) -> list[Detections]:
    """Detections of each image from what SSD returns.

    Boxes of the same class that overlap are one detection, the best. The defaults are the authors' for VOC. What
    onnxruntime returns goes through torch.from_numpy first.

    Args:
        locations: (B, P, 4) offsets from the priors.
        confidences: (B, P, classes + 1) logits, the background first.
        priors: (P, 4), as centers.
        min_score: Only higher scores count.
        overlap: IoU above which two boxes of a class are one detection.
        per_class: The best of a class in an image, before suppression.
        per_image: The best of an image, after it.
    """
    boxes = decode(locations, priors).clamp(0, 1)
    return [
        _of_image(b, s, min_score, overlap, per_class, per_image)
        for b, s in zip(boxes, confidences.softmax(2), strict=True)
    ]


def _of_image(
    boxes: Tensor, scores: Tensor, min_score: float, overlap: float, per_class: int, per_image: int
) -> Detections:
    priors, labels = [], []
    for label in range(BACKGROUND + 1, scores.shape[1]):
        candidates = (scores[:, label] > min_score).nonzero().flatten()
        best = scores[candidates, label].argsort(descending=True, stable=True)[:per_class]
        candidates = candidates[best]
        kept = candidates[non_maximum_suppression(boxes[candidates], scores[candidates, label], overlap)]
        priors.append(kept)
        labels.append(torch.full_like(kept, label))
    prior, of_class = torch.cat(priors), torch.cat(labels)
    found = scores[prior, of_class]
    best = found.argsort(descending=True, stable=True)[:per_image]
    return Detections(boxes[prior[best]], of_class[best], found[best])

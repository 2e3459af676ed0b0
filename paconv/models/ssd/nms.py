"""Greedy non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor

from paconv.models.ssd.boxes import iou

__all__ = ["non_maximum_suppression"]


def non_maximum_suppression(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes that stay, best first.

    boxes (n, 4) corners, scores (n,); of equal scores the first comes first. From the best down, each box stays unless
    a box that stays overlaps it by more than `threshold` (IoU).
    """
    order = scores.argsort(descending=True, stable=True)
    suppresses = iou(boxes[order], boxes[order]) > threshold
    kept, gone = [], torch.zeros(len(order), dtype=torch.bool, device=boxes.device)
    for place in range(len(order)):
        if not gone[place]:
            kept.append(place)
            gone |= suppresses[place]
    return order[kept]

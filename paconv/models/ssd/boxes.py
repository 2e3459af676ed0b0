"""Boxes in their two forms, their overlap, and their coding relative to priors (Liu et al. 2016, eq. 2).

    corners (x1, y1, x2, y2)      centers (cx, cy, w, h)      iou = |A and B| / |A or B|

A box g is coded against a prior d, both as centers, with the variances 0.1 and 0.2 of the authors' code:

    ((g_cx - d_cx) / d_w / 0.1,  (g_cy - d_cy) / d_h / 0.1,  log(g_w / d_w) / 0.2,  log(g_h / d_h) / 0.2)
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["VARIANCES", "centers", "corners", "decode", "encode", "iou"]

VARIANCES = (0.1, 0.2)
"""Of the center and of the size."""


def centers(boxes: Tensor) -> Tensor:
    """Corners (..., 4) -> centers (..., 4)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def corners(boxes: Tensor) -> Tensor:
    """Centers (..., 4) -> corners (..., 4)."""
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([middle - half, middle + half], -1)


def encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """Corners `boxes` (..., P, 4) with a positive area as offsets from `priors` (P, 4), given as centers."""
    box = centers(boxes)
    offset = (box[..., :2] - priors[:, :2]) / priors[:, 2:] / VARIANCES[0]
    return torch.cat([offset, torch.log(box[..., 2:] / priors[:, 2:]) / VARIANCES[1]], -1)


def decode(locations: Tensor, priors: Tensor) -> Tensor:
    """Offsets (..., P, 4) from `priors` (P, 4), given as centers -> corners (..., P, 4). The inverse of `encode`."""
    middle = priors[:, :2] + locations[..., :2] * VARIANCES[0] * priors[:, 2:]
    return corners(torch.cat([middle, priors[:, 2:] * torch.exp(locations[..., 2:] * VARIANCES[1])], -1))


def iou(a: Tensor, b: Tensor, extent: float = 0.0) -> Tensor:
    """Overlap (A, B) of corners a (A, 4) with corners b (B, 4); 0 where both have no area.

    extent: what a side is longer than the difference of its corners: 1 for corners that are pixels, both inside.
    """
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low + extent).clamp(min=0).prod(2)
    area_a, area_b = ((each[:, 2:] - each[:, :2] + extent).prod(1) for each in (a, b))
    union = area_a[:, None] + area_b[None, :] - shared
    return torch.where(union > 0, shared / union, torch.zeros_like(shared))

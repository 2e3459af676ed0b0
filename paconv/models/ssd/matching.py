"""Which prior is trained towards which object (Liu et al. 2016, section 2.2, "Matching strategy").

First each object gets the prior that overlaps it most: of all pairs of an object and a prior that are both free the one
with the greatest overlap, and so on, as long as there is any overlap. Then each free prior gets the object that it
overlaps most, if that overlap is 0.5 at least. All others are background.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paconv.errors import UsageError
from paconv.models.ssd.boxes import corners, iou

__all__ = ["BACKGROUND", "match"]

BACKGROUND = 0
"""Label of a prior without an object; classes are 1, 2, ..."""


def match(boxes: Tensor, labels: Tensor, priors: Tensor, threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """Training targets of the priors of one image.

    Args:
        boxes: (T, 4): corners of the image's objects, with a positive area; T may be 0.
        labels: (T,) int64: their classes, from 1.
        priors: (P, 4), as centers.
        threshold: IoU from which a prior is an object's.

    Returns:
        Labels (P,) int64, and corners (P, 4): the object's, or the prior's own for background.

    Raises:
        UsageError: A box has no area, a label is below 1, or the counts differ.
    """
    if boxes.shape != (len(labels), 4):
        raise UsageError(f"expected a box (4 corners) for each of {len(labels)} labels; found {tuple(boxes.shape)}")
    if not (boxes[:, 2:] > boxes[:, :2]).all():
        raise UsageError("expected boxes (x1, y1, x2, y2) with x1 < x2 and y1 < y2; found one without area")
    if len(labels) and int(labels.min()) <= BACKGROUND:
        raise UsageError(f"expected labels from 1, 0 is the background; found {int(labels.min())}")
    targets = corners(priors)
    target_labels = torch.full((len(priors),), BACKGROUND, dtype=torch.int64, device=priors.device)
    if not len(labels):
        return target_labels, targets
    overlap = iou(boxes, targets)
    best, chosen = overlap.max(0)
    chosen = torch.where(best >= threshold, chosen, -1)
    free = overlap.clone()
    for _ in range(len(boxes)):
        value, index = free.flatten().max(0)
        if value <= 0:
            break
        object_, prior = divmod(int(index), len(priors))
        chosen[prior] = object_
        free[object_] = free[:, prior] = -1
    found = chosen >= 0
    target_labels[found] = labels[chosen[found]]
    targets[found] = boxes[chosen[found]]
    return target_labels, targets

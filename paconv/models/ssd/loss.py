"""The multibox loss (Liu et al. 2016, eqs. 1-3), with hard negative mining.

    L = (1 / n) (sum over matched priors of smooth_L1(location - coded box)
                 + sum over matched priors of -log p(class) + sum over mined priors of -log p(background))

n: matched priors of the batch; L is 0 where there is none. Mined are, in each image, the 3 times as many other priors
as it has matched ones for which -log p(background) is greatest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paconv.models.ssd.boxes import encode
from paconv.models.ssd.matching import BACKGROUND, match

__all__ = ["MultiboxLoss"]


class MultiboxLoss(nn.Module):
    """The loss for `priors` (P, 4), given as centers; threshold of the matching; negatives mined for each match."""

    priors: Tensor

    def __init__(self, priors: Tensor, threshold: float = 0.5, negatives: int = 3):
        super().__init__()
        self.register_buffer("priors", priors.clone(), persistent=False)
        self.threshold = threshold
        self.negatives = negatives

    def forward(
        self, locations: Tensor, confidences: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            locations: (B, P, 4), as SSD gives them.
            confidences: (B, P, classes + 1), as SSD gives them.
            boxes: Per image the objects' corners (T, 4), relative to the image.
            labels: Per image their classes (T,), from 1.

        Raises:
            UsageError: As `match` does.
        """
        matched = [match(b, c, self.priors, self.threshold) for b, c in zip(boxes, labels, strict=True)]
        target = torch.stack([c for c, _ in matched])
        positive = target != BACKGROUND
        count = int(positive.sum())
        if not count:
            return 0 * (locations.sum() + confidences.sum())
        coded = encode(torch.stack([b for _, b in matched]), self.priors)
        localization = F.smooth_l1_loss(locations[positive], coded[positive], reduction="sum")
        entropy = F.cross_entropy(confidences.transpose(1, 2), target, reduction="none")
        return (localization + entropy[positive | self._mined(entropy, positive)].sum()) / count

    def _mined(self, entropy: Tensor, positive: Tensor) -> Tensor:
        """(B, P) bool: the hardest negatives of each image. entropy of a negative is -log p(background)."""
        ranked = entropy.detach().masked_fill(positive, -torch.inf).argsort(dim=1, descending=True, stable=True)
        place = torch.empty_like(ranked).scatter_(1, ranked, torch.arange(ranked.shape[1]).expand_as(ranked).to(ranked))
        return (place < self.negatives * positive.sum(1, keepdim=True)) & ~positive

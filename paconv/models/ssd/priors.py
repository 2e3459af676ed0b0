"""SSD300's prior boxes (Liu et al. 2016, section 2.2; sizes and steps of the authors' VOC configuration).

Map k of size f_k x f_k has, around the center of each cell (i, j), ((j + 0.5) step_k, (i + 0.5) step_k) pixels,

    a square of side s_k, a square of side sqrt(s_k s_{k+1}),
    and for each ratio r:  s_k sqrt(r) x s_k / sqrt(r)  and  s_k / sqrt(r) x s_k sqrt(r).

That is 4 boxes a cell for one ratio and 6 for two: 38^2 4 + 19^2 6 + 10^2 6 + 5^2 6 + 3^2 4 + 4 = 8732.
As in the authors' configuration, boxes that reach beyond the image aren't clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

__all__ = ["SSD300_MAPS", "PriorMap", "prior_boxes"]


@dataclass(frozen=True)
class PriorMap:
    """One map of prior boxes."""

    cells: int
    """Cells per side."""
    step: float
    """Pixels between centers."""
    side: float
    """s_k: the smaller side, in pixels."""
    next_side: float
    """s_{k+1}: the next map's smaller side, in pixels."""
    ratios: tuple[float, ...]
    """Aspect ratios above 1, each taken the other way round too."""

    @property
    def boxes(self) -> int:
        """Boxes in each cell."""
        return 2 + 2 * len(self.ratios)


SSD300_MAPS = (
    PriorMap(38, 8, 30, 60, (2,)),
    PriorMap(19, 16, 60, 111, (2, 3)),
    PriorMap(10, 32, 111, 162, (2, 3)),
    PriorMap(5, 64, 162, 213, (2, 3)),
    PriorMap(3, 100, 213, 264, (2,)),
    PriorMap(1, 300, 264, 315, (2,)),
)


def prior_boxes(maps: tuple[PriorMap, ...] = SSD300_MAPS, size: int = 300) -> Tensor:
    """Priors (P, 4) float32 as (center x, center y, width, height), relative to an image of `size` pixels per side.

    Order: map, row, column, box; the boxes of a cell in the order above.
    """
    found = []
    for each in maps:
        shapes = [(each.side, each.side), (sqrt(each.side * each.next_side),) * 2]
        for ratio in each.ratios:
            long, short = each.side * sqrt(ratio), each.side / sqrt(ratio)
            shapes += [(long, short), (short, long)]
        center = (torch.arange(each.cells, dtype=torch.float64) + 0.5) * each.step
        y, x = torch.meshgrid(center, center, indexing="ij")
        cells = torch.stack([x, y], 2).reshape(-1, 1, 2).expand(-1, len(shapes), 2)
        sides = torch.tensor(shapes, dtype=torch.float64).expand(each.cells**2, -1, 2)
        found.append(torch.cat([cells, sides], 2).reshape(-1, 4))
    return (torch.cat(found) / size).float()

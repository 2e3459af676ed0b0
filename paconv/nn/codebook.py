"""Levels of weights that are given, such as those fitted to data, instead of computed from the weights.

For output channel o, with ascending c_0 .. c_M, c_{M/2} = 0, and a scale a_o >= 0, 0 for a channel without weights:

    levels_o = a_o c      endpoints_o = a_o (c_{k-1} + c_k) / 2,  k = 1..M

Eq. 8 holds for W_o / a_o: dW_bar/dW has the slope lambda_W (c_k - c_{k-1}) where W_o / a_o is in segment k of these
endpoints, lambda_W = lambda' / std(W / a). So a weight keeps its level until training moves it across an endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paconv.bits import one_hot_masks
from paconv.nn.on_grid import Memory, relative_error, snapped_codebook
from paconv.nn.steps import Steps

__all__ = ["Codebook", "flaw_of"]


@dataclass(frozen=True)
class Codebook:
    """c and the scales a."""

    levels: Tensor
    """(M+1,) float64."""
    scales: Tensor
    """(O,) float64."""

    def table(self, dtype: torch.dtype) -> Tensor:
        """(O, M+1): the levels of each output channel, narrowed once."""
        return (self.scales.double()[:, None] * self.levels.double()).to(dtype)

    def steps(self, dtype: torch.dtype) -> Steps:
        """The step functions of the output channels: one plane for each level but 0."""
        table = self.table(dtype)
        M = table.shape[1] - 1
        masks = torch.tensor([one_hot_masks(M, M // 2)], dtype=torch.uint8, device=table.device)
        alpha = torch.cat([table.new_zeros(len(table), 1), table[:, : M // 2], table[:, M // 2 + 1 :]], 1)
        return Steps(_midpoints(table.double()).to(dtype), alpha, masks)

    @property
    def endpoints(self) -> Tensor:
        """(M,) float64: of W / a."""
        return _midpoints(self.levels.double())

    def normalized(self, W: Tensor) -> Tensor:
        """W / a (O, C/g, KH, KW); channels of scale 0 as they are."""
        return W / torch.where(self.scales > 0, self.scales, 1).to(W.dtype)[:, None, None, None]

    def times_scales(self, W: Tensor) -> Tensor:
        """a W (O, C/g, KH, KW)."""
        return W * self.scales.to(W.dtype)[:, None, None, None]

    def largest_integer(self, most: int) -> int | None:
        """The largest |c| where all c are integers up to `most`; None where they aren't."""
        if not torch.equal(self.levels, self.levels.round()):
            return None
        largest = int(self.levels.abs().max())
        return largest if largest <= most else None

    def snapped(self, W: Tensor, most: int, memory: Memory) -> Codebook:
        """c as integers up to `most`, as near to c as can be where the weights W are."""
        if self.largest_integer(most) is not None:
            return self
        counts = self._counts(W).sum(0)
        return Codebook(*snapped_codebook(self.levels, self.scales, counts, most, memory))

    def grid_error(self, W: Tensor, most: int, memory: Memory) -> float:
        """How far `snapped` moves the levels, relative (paconv.nn.on_grid)."""
        snapped = self.snapped(W, most, memory)
        return relative_error(self.table(W.dtype), snapped.table(W.dtype), self._counts(W))

    def _counts(self, W: Tensor) -> Tensor:
        """(O, M+1) int64: how many weights of each channel are in each piece."""
        return self.steps(W.dtype).count_weights(W)


def flaw_of(codebook: Tensor | None, scales: Tensor | None, M: int) -> str | None:
    """What is wrong with a codebook (M+1,) and scales (O,); None if nothing is."""
    if codebook is None or scales is None:
        return "codebook and scales belong together; one of them is missing"
    if codebook.shape != (M + 1,) or scales.ndim != 1:
        found = f"{tuple(codebook.shape)} and {tuple(scales.shape)}"
        return f"codebook and scales: expected shapes ({M + 1},) and (output channels,); found {found}"
    if not (codebook.isfinite().all() and (codebook.diff() >= 0).all() and codebook[M // 2] == 0):
        return f"codebook: expected ascending levels with 0 in the middle; found {codebook.tolist()}"
    if not (scales.isfinite() & (scales >= 0)).all():
        return "scales: expected finite numbers that aren't negative; found others"
    return None


def _midpoints(levels: Tensor) -> Tensor:
    """(..., L-1): the middles between neighbours of `levels` (..., L)."""
    return (levels[..., 1:] + levels[..., :-1]) / 2

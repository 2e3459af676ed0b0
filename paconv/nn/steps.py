"""Step functions whose levels are sums of planes: what every scheme's quantizer comes to (docs/ops.md).

    piece(w)  = #{e : endpoints_e < w} of a weight         piece(x) = #{e : endpoints_e <= x} of an activation
    level_k   = coefficients_0 + sum_{p=1..P} coefficients_p bit_{p-1}(masks_k)
    value     = level_piece

summed in float64, the offset first, then the planes in order, and narrowed once, as paconv.bits.level_table does: so
torch, the exported file and the packed one have the same levels, bit for bit.

Endpoints, coefficients and masks have R rows: one, or for weights one each output channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from paconv.nn.functional import count_above, count_reached, look_up

__all__ = ["Steps", "straight_through"]

_FEW = 16
"""Endpoints up to which a comparison each is faster than a binary search."""


@dataclass(frozen=True)
class Steps:
    """Step functions: one for all output channels (R = 1), or one for each of R."""

    endpoints: Tensor
    """(R, E), ascending."""
    coefficients: Tensor
    """(R, P+1), the offset first."""
    masks: Tensor
    """(R, E+1) uint8: the planes of each piece."""

    @cached_property
    def levels(self) -> Tensor:
        """(R, E+1): the value of each piece, in the coefficients' dtype."""
        table = self.coefficients[:, :1].double()
        for plane in range(self.coefficients.shape[1] - 1):
            bit = (self.masks >> plane) & 1
            table = table + self.coefficients[:, plane + 1 : plane + 2].double() * bit
        return table.to(self.coefficients.dtype)

    def beside(self, x: Tensor) -> Steps:
        """The same on the device of x, and in float64 if x is."""
        dtype = torch.promote_types(x.dtype, self.coefficients.dtype)
        endpoints, coefficients = (t.to(x.device, dtype) for t in (self.endpoints, self.coefficients))
        return Steps(endpoints, coefficients, self.masks.to(x.device))

    def of_weights(self, W: Tensor) -> Tensor:
        """Values (O, C/g, KH, KW) of the weights W (O, C/g, KH, KW)."""
        levels, piece = self.levels, self._pieces_of_weights(W)
        if len(levels) == 1:
            return look_up(levels[0], piece)
        return levels.gather(1, piece.reshape(len(W), -1).long()).view(W.shape)

    def count_weights(self, W: Tensor) -> Tensor:
        """(R, E+1) int64: how many of the weights W (O, C/g, KH, KW) of each row of coefficients are in each piece."""
        rows, pieces = len(self.coefficients), self.masks.shape[1]
        piece = self._pieces_of_weights(W).reshape(rows, -1).long()
        row = torch.arange(rows, device=W.device)[:, None]
        return torch.bincount((piece + pieces * row).reshape(-1), minlength=rows * pieces).view(rows, pieces)

    def _pieces_of_weights(self, W: Tensor) -> Tensor:
        if len(self.endpoints) == 1:
            return count_above(W, self.endpoints[0])
        piece = torch.zeros(W.shape, dtype=torch.uint8, device=W.device)
        for endpoint in self.endpoints.unbind(1):
            piece += (W > endpoint[:, None, None, None]).view(torch.uint8)
        return piece

    def of_activations(self, x: Tensor) -> Tensor:
        """Values (...) of the activations x (...). One row."""
        return look_up(self.levels[0], self.pieces(x))

    def pieces(self, x: Tensor) -> Tensor:
        """Integers (...): the piece of each of the activations x (...); NaN is in piece 0. One row."""
        v = self.endpoints[0]
        if len(v) <= _FEW:
            return count_reached(x, v)
        return torch.bucketize(x, v, right=True, out_int32=True).masked_fill_(x.isnan(), 0)


def straight_through(value: Tensor, through: Tensor) -> Tensor:
    """`value` (...), with the gradient passed on to `through` (...): of that, only what it is computed from matters."""
    return _StraightThrough.apply(value.detach(), through)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, through):
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        return None, g

"""LQ-Net: levels that are the sums of a learned basis, M basis values per filter, N for activations.

    Q(x) = v^T b   for x between the midpoints around that level                                      (eqs. 3-5)
    weights: b in {-1, +1}^M, a basis v for each filter;   activations: b in {0, 1}^N, one basis
    v <- 0.9 v + 0.1 v',   v' = (B^T B + eps I)^-1 (B^T x + eps v),  B the codes of x under v         (eq. 7, QEM)
    dQ/dW = 1;   dQ/dx = 1 for x <= the highest level, else 0

The basis moves with each forward in training mode, not by a gradient. {0, 1} for activations, the moving average, eps
= 1e-4 and the gradients are those of the authors' code; eps there is for weights only and keeps a basis value that no
activation uses where it is. A basis starts from evenly spaced levels, that of a weight then takes ten steps to W.

Where several processes train, x is the joint batch: of its parts x_k, one per process, B^T B = sum_k B_k^T B_k and
B^T x = sum_k B_k^T x_k. Weights are the same in each process and need no sum.

D. Zhang, J. Yang, D. Ye, G. Hua: LQ-Nets: Learned Quantization for Highly Accurate and Compact Deep Neural Networks,
ECCV 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from paconv.nn.joint import joint_sum
from paconv.nn.quantizer import SteppedActivation, SteppedWeight
from paconv.nn.rounding import above, at_most
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.steps import Steps
from paconv.schemes import SchemeRecord, records

__all__ = ["LQ", "LQActivation", "LQWeight"]


_MOMENTUM, _EPS, _QUARTILE, _ROUNDS = 0.9, 1e-4, 0.6745, 10


def _codes(bits: int, like: Tensor) -> Tensor:
    """All codes b in {0, 1}^bits: (2^bits, bits) float64, row k the binary digits of k."""
    k = torch.arange(1 << bits, device=like.device)
    return ((k[:, None] >> torch.arange(bits, device=like.device)) & 1).double()


def _sorted_levels(offset: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Levels offset + basis b, ascending (R, 2^bits) float64, and masks, uint8. offset (R, 1), basis (R, bits)."""
    levels, masks = (offset + basis @ _codes(basis.shape[1], basis).T).sort(dim=1, stable=True)
    return levels, masks.to(torch.uint8)


def _moments(planes: Tensor, x: Tensor) -> Tensor:
    """[B^T B, B^T x] (R, bits, bits + 1) float64 of the codes B = planes (R, n, bits) of x (R, n)."""
    return planes.transpose(1, 2) @ torch.cat([planes, x[..., None]], 2)


def _fitted(basis: Tensor, moments: Tensor) -> Tensor:
    """v' (R, bits) float64, from v = basis and the `_moments` under it."""
    eye = _EPS * torch.eye(basis.shape[1], dtype=torch.float64, device=basis.device)
    return torch.linalg.solve(moments[..., :-1] + eye, moments[..., -1] + _EPS * basis)


class LQWeight(SteppedWeight):
    """Levels sum_i +-v_i, `basis` (O, bits) a filter."""

    basis: Tensor

    def __init__(self, out_channels: int, bits: int):
        super().__init__()
        self.bits = bits
        self.register_buffer("basis", torch.ones(out_channels, bits))

    @torch.no_grad()
    def initialize_(self, W: Tensor) -> None:
        rows = W.double().flatten(1)
        base = rows.square().mean(1, keepdim=True).sqrt() * _QUARTILE / 2 ** (self.bits - 1)
        basis = base * 2.0 ** torch.arange(self.bits, device=W.device)
        for _ in range(_ROUNDS):
            basis = self._fit(basis, rows)
        self.basis.copy_(basis)

    def _fit(self, basis: Tensor, rows: Tensor) -> Tensor:
        levels, masks = _sorted_levels(-basis.sum(1, keepdim=True), 2 * basis)
        piece = torch.searchsorted((levels[:, 1:] + levels[:, :-1]) / 2, rows)
        codes = 2 * _codes(self.bits, rows) - 1
        return _fitted(basis, _moments(codes[masks.long().gather(1, piece)], rows))

    @torch.no_grad()
    def update_(self, W: Tensor) -> None:
        """One step of QEM."""
        basis = self.basis.double()
        self.basis.copy_(_MOMENTUM * basis + (1 - _MOMENTUM) * self._fit(basis, W.double().flatten(1)))

    def steps(self, W: Tensor) -> Steps:
        basis = self.basis.double()
        levels, masks = _sorted_levels(-basis.sum(1, keepdim=True), 2 * basis)
        coefficients = torch.cat([-basis.sum(1, keepdim=True), 2 * basis], 1).to(W.dtype)
        return Steps(at_most((levels[:, 1:] + levels[:, :-1]) / 2, W.dtype), coefficients, masks)

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        return W

    def forward(self, W: Tensor) -> Tensor:
        """W_bar (O, C/g, KH, KW) of W; in training mode the basis moves afterwards."""
        W_bar = super().forward(W)
        if self.training and self.u is None:
            self.update_(W.detach())
        return W_bar

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


class LQActivation(SteppedActivation):
    """Levels sum_j b_j v_j, b in {0, 1}, of one `basis` (bits,)."""

    basis: Tensor

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits
        start = 2 * _QUARTILE / ((1 << bits) - 1) * 2.0 ** torch.arange(bits)
        self.register_buffer("basis", start)

    def _moments_under(self, basis: Tensor, x: Tensor) -> Tensor:
        levels, masks = _sorted_levels(basis.new_zeros(1, 1), basis[None])
        piece = torch.searchsorted((levels[0, 1:] + levels[0, :-1]) / 2, x)
        return _moments(_codes(self.bits, x)[masks[0].long()][piece][None], x[None])

    @torch.no_grad()
    def update_(self, x: Tensor) -> None:
        """One step of QEM, on the joint batch of all processes."""
        basis = self.basis.double()
        moments = joint_sum(self._moments_under(basis, x.double().reshape(-1)))
        self.basis.copy_(_MOMENTUM * basis + (1 - _MOMENTUM) * _fitted(basis[None], moments)[0])

    @torch.no_grad()
    def calibrate_(self, x: Tensor) -> bool:
        unit = x.square().mean().sqrt()
        digits = 2.0 ** torch.arange(self.bits, dtype=x.dtype, device=x.device)
        basis = 2 * _QUARTILE / ((1 << self.bits) - 1) * unit * digits
        for _ in range(_ROUNDS):
            basis = _fitted(basis[None], self._moments_under(basis, x))[0]
        self.basis.copy_(basis)
        return True

    def steps(self) -> Steps:
        basis = self.basis.double()
        levels, masks = _sorted_levels(basis.new_zeros(1, 1), basis[None])
        coefficients = torch.cat([self.basis.new_zeros(1), self.basis])[None]
        return Steps(above((levels[:, 1:] + levels[:, :-1]) / 2, self.basis.dtype), coefficients, masks)

    def through(self, x: Tensor, steps: Steps) -> Tensor:
        return x * (x.detach() <= steps.levels[0, -1])

    def forward(self, x: Tensor) -> Tensor:
        """x_bar (...) of x (...); in training mode the basis moves afterwards."""
        x_bar = super().forward(x)
        if self.training and self.frozen_v is None:
            self.update_(x.detach())
        return x_bar

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


@dataclass(frozen=True)
class LQ(Scheme):
    """LQ-Net's scheme."""

    record: ClassVar[SchemeRecord] = records.LQNET

    M: int = record.default[0]
    """Bits per weight: 1..4."""
    N: int | None = record.default[1]
    """Bits per activation: 1..4, or None for full precision."""

    def weight_quantizer(self, conv: nn.Conv2d) -> LQWeight:
        return LQWeight(conv.out_channels, self.M)

    def activation(self, rectified: bool) -> LQActivation:
        assert self.N is not None
        return LQActivation(self.N)

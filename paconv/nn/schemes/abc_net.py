"""ABC-Net: M weight bases and N activation bases of +-1, each with a coefficient.

    W ~ sum_i alpha_i B_i,   B_i = sign(W - mean(W) + u_i std(W)),   u_i = -1 + (i - 1) 2 / (M - 1)   (eqs. 2, 3)
    alpha = argmin |W - sum_i alpha_i B_i|^2                                                          (eq. 4)
    dC/dW = sum_i alpha_i dC/dW_bar          (straight through each B_i)                              (eq. 6)
    R ~ sum_n beta_n A_n,   A_n = H_{v_n}(R) = +1 if clip(R + v_n, 0, 1) >= 1/2, else -1              (eqs. 8-10)
    dC/dR = sum_n beta_n dC/dx_bar [0 <= R + v_n <= 1]                                                (eq. 11)
    dC/dbeta_n = sum of dC/dx_bar A_n,   dC/dv_n = beta_n sum of dC/dx_bar [0 <= R + v_n <= 1]

for each whole weight tensor; M = 1 has u_1 = 0. The bases of one side differ only in a shift, so they are nested, and
M of them have M + 1 values, not 2^M: thermometer masks. A constant weight or an empty piece leaves alpha open; the
least |alpha| is taken. v and beta start, ours, from the Lloyd-Max quantizer of a half Gaussian, or of data: 1/2 - v_n
are its endpoints and 2 beta_n its steps.

The levels of R lie around 0, from -sum beta to sum beta: off by a constant, which a batch norm after the convolution
takes away once its statistics are those of the quantized network.

Padding is 0 after the approximation.

X. Lin, C. Zhao, W. Pan: Towards Accurate Binary Convolutional Neural Network, NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from paconv.gaussian import half_gaussian_quantizer
from paconv.nn.functional import count_above
from paconv.nn.half_line import half_line_quantizer
from paconv.nn.quantizer import SteppedActivation, SteppedWeight
from paconv.nn.rounding import below
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.steps import Steps, straight_through
from paconv.schemes import SchemeRecord, records

__all__ = ["ABC", "ABCActivation", "ABCWeight"]


def _nested(order: Tensor) -> Tensor:
    """Masks (1, P+1) uint8 where each endpoint reached sets one more plane: order (P,) int64, planes by endpoint."""
    bits = 2 ** order.to(torch.uint8)
    return torch.cat([bits.new_zeros(1), bits.cumsum(0, dtype=torch.uint8)])[None]


class ABCWeight(SteppedWeight):
    """M bases sign(W - mean + u_i std), with least-squares coefficients."""

    def __init__(self, M: int):
        super().__init__()
        self.M = M

    def steps(self, W: Tensor) -> Steps:
        exact = W.double()
        u = torch.linspace(-1, 1, self.M, dtype=torch.float64, device=W.device) if self.M > 1 else exact.new_zeros(1)
        thresholds = exact.mean() - u * exact.std(unbiased=False)  # B_i = +1 from here on; descending
        order = torch.arange(self.M - 1, -1, -1, device=W.device)
        endpoints, masks = below(thresholds.flip(0), W.dtype), _nested(order)
        alpha = self._least_squares(exact, W, endpoints, masks)
        coefficients = torch.cat([-alpha.sum()[None], 2 * alpha]).to(W.dtype)
        return Steps(endpoints[None], coefficients[None], masks)

    def _least_squares(self, exact: Tensor, W: Tensor, endpoints: Tensor, masks: Tensor) -> Tensor:
        """alpha (M,) float64: (B^T B)^-1 B^T W, from the count and the sum of each piece."""
        piece = count_above(W, endpoints).reshape(-1)
        total = torch.bincount(piece, weights=exact.reshape(-1), minlength=self.M + 1)
        count = torch.bincount(piece, minlength=self.M + 1).double()
        planes = torch.arange(self.M, device=W.device)
        B = 2 * ((masks[0].long()[:, None] >> planes) & 1).double() - 1  # (M+1, M)
        return torch.linalg.pinv(B.T @ (count[:, None] * B), hermitian=True) @ (B.T @ total)

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        return W * -steps.coefficients[0, 0]  # the sum of alpha

    def extra_repr(self) -> str:
        return f"M={self.M}"


class ABCActivation(SteppedActivation):
    """N bases H_{v_n}(x) with trained shifts v (N,) and coefficients beta (N,)."""

    def __init__(self, N: int):
        super().__init__()
        self.N = N
        self.v = nn.Parameter(torch.empty(N))
        self.beta = nn.Parameter(torch.empty(N))
        endpoints, levels = half_gaussian_quantizer(N)
        self._start(torch.tensor(endpoints, dtype=torch.float64), torch.tensor(levels, dtype=torch.float64))

    @torch.no_grad()
    def _start(self, endpoints: Tensor, levels: Tensor) -> None:
        self.v.copy_(0.5 - endpoints)
        self.beta.copy_(levels.diff(prepend=levels.new_zeros(1)) / 2)

    def calibrate_(self, x: Tensor) -> bool:
        self._start(*half_line_quantizer(x, self.N))
        return True

    def steps(self) -> Steps:
        endpoints, order = (0.5 - self.v.detach()).sort(stable=True)
        beta = self.beta.detach()
        coefficients = torch.cat([-beta.double().sum()[None].to(beta.dtype), 2 * beta])
        return Steps(endpoints[None], coefficients[None], _nested(order))

    def through(self, x: Tensor, steps: Steps) -> Tensor:
        total = torch.zeros_like(x)
        for v, beta in zip(self.v, self.beta, strict=True):
            shifted = x.detach() + v.detach()
            basis = 2 * (x.detach() >= 0.5 - v.detach()).to(x.dtype) - 1
            window = (shifted >= 0) & (shifted <= 1)
            total = total + beta * straight_through(basis, (x + v) * window)
        return total

    def extra_repr(self) -> str:
        return f"N={self.N}"


@dataclass(frozen=True)
class ABC(Scheme):
    """ABC-Net's scheme."""

    record: ClassVar[SchemeRecord] = records.ABC
    moves_mean: ClassVar[bool] = True

    M: int = record.default[0]
    """Weight bases: 1..8."""
    N: int | None = record.default[1]
    """Activation bases: 1..8, or None for full precision."""

    def weight_quantizer(self, conv: nn.Conv2d) -> ABCWeight:
        return ABCWeight(self.M)

    def activation(self, rectified: bool) -> ABCActivation:
        assert self.N is not None
        return ABCActivation(self.N)

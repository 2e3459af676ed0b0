"""TTQ, Trained Ternary Quantization: weights -W_n, 0 and W_p with trained W_n and W_p, full-precision activations.

    W_bar = W_p for W > delta,   0 for |W| <= delta,   -W_n for W < -delta                            (eq. 6)
    delta = t max |W|,  t = 0.05                                                                      (eq. 9)
    dC/dW_p = sum of dC/dW_bar over W > delta,   dC/dW_n = - sum of dC/dW_bar over W < -delta         (eq. 7)
    dC/dW   = W_p dC/dW_bar for W > delta,  dC/dW_bar for |W| <= delta,  W_n dC/dW_bar for W < -delta (eq. 8)

for each whole weight tensor. Eq. 7 is printed without the minus; W_bar = -W_n has the derivative -1 by W_n. W_p and W_n
start, ours, from the means of the weights that they stand for.

C. Zhu, S. Han, H. Mao, W. J. Dally: Trained Ternary Quantization, ICLR 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from paconv.errors import UsageError
from paconv.nn.quantizer import ActivationQuantizer, SteppedWeight
from paconv.nn.schemes.scheme import Scheme, check_positive_number
from paconv.nn.schemes.ternary import outer_means, ternary_steps
from paconv.nn.steps import Steps
from paconv.schemes import SchemeRecord, records

__all__ = ["TTQ", "TTQWeight"]


class TTQWeight(SteppedWeight):
    """-W_n, 0, W_p with delta = threshold * max |W|; trained: `negative` (1,) is W_n, `positive` (1,) is W_p."""

    def __init__(self, threshold: float = 0.05):
        super().__init__()
        self.threshold = threshold
        self.negative = nn.Parameter(torch.ones(1))
        self.positive = nn.Parameter(torch.ones(1))

    def delta(self, W: Tensor) -> Tensor:
        """() float64."""
        return self.threshold * W.double().abs().amax()

    @torch.no_grad()
    def initialize_(self, W: Tensor) -> None:
        negative, positive = outer_means(W, self.delta(W))
        self.negative.copy_(negative)
        self.positive.copy_(positive)

    def steps(self, W: Tensor) -> Steps:
        return ternary_steps(self.delta(W), self.negative.detach(), self.positive.detach())

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        first, second = steps.endpoints[0]
        low, high = (W.detach() <= first).to(W.dtype), (W.detach() > second).to(W.dtype)
        slope = 1 + low * (self.negative.detach() - 1) + high * (self.positive.detach() - 1)
        return W * slope + self.positive * high - self.negative * low

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}"


@dataclass(frozen=True)
class TTQ(Scheme):
    """TTQ's scheme."""

    record: ClassVar[SchemeRecord] = records.TTQ

    M: int = record.default[0]
    """Weight planes: 2, those of -W_n and of W_p."""
    N: int | None = record.default[1]
    """None: activations have full precision."""
    threshold: float = 0.05
    """delta over max |W|, below 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_number(self.title, threshold=self.threshold)
        if self.threshold >= 1:
            raise UsageError(f"{self.title}: threshold must be below 1, or every weight is 0; found {self.threshold}")

    def weight_quantizer(self, conv: nn.Conv2d) -> TTQWeight:
        return TTQWeight(self.threshold)

    def activation(self, rectified: bool) -> ActivationQuantizer:
        raise AssertionError("TTQ has full-precision activations")

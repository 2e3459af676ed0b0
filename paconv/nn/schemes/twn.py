"""TWN, Ternary Weight Networks: weights -alpha, 0 and alpha, full-precision activations.

    W_bar = alpha sign(W) for |W| > delta, else 0                                                     (eq. 3)
    delta = 0.7 mean |W|                                                                              (eq. 6)
    alpha = mean of |W| over |W| > delta                                                              (eq. 5)
    dC/dW = dC/dW_bar

for each whole weight tensor.

F. Li, B. Zhang, B. Liu: Ternary Weight Networks, arXiv 1605.04711, 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from paconv.nn.quantizer import ActivationQuantizer, SteppedWeight
from paconv.nn.schemes.scheme import Scheme, check_positive_number
from paconv.nn.schemes.ternary import ternary_steps
from paconv.nn.steps import Steps
from paconv.schemes import SchemeRecord, records

__all__ = ["TWN", "TWNWeight"]


class TWNWeight(SteppedWeight):
    """-alpha, 0, alpha with delta = factor * mean |W|."""

    def __init__(self, factor: float = 0.7):
        super().__init__()
        self.factor = factor

    def steps(self, W: Tensor) -> Steps:
        magnitude = W.double().abs()
        delta = self.factor * magnitude.mean()
        outer = magnitude > delta
        alpha = ((magnitude * outer).sum() / outer.sum().clamp(min=1)).to(W.dtype)[None]
        return ternary_steps(delta, alpha, alpha)

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        return W

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


@dataclass(frozen=True)
class TWN(Scheme):
    """TWN's scheme."""

    record: ClassVar[SchemeRecord] = records.TWN

    M: int = record.default[0]
    """Weight planes: 2, those of -alpha and of alpha."""
    N: int | None = record.default[1]
    """None: activations have full precision."""
    factor: float = 0.7
    """delta over mean |W|."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_number(self.title, factor=self.factor)

    def weight_quantizer(self, conv: nn.Conv2d) -> TWNWeight:
        return TWNWeight(self.factor)

    def activation(self, rectified: bool) -> ActivationQuantizer:
        raise AssertionError("TWN has full-precision activations")

"""PA: piecewise approximation with M endpoints a weight tensor and N endpoints an activation (eqs. 6-14 of the paper).

    W_bar = c[#{i: u_i < W}]     c = [alpha_1 .. alpha_z, 0, alpha_{z+1} .. alpha_M], z = M/2        (6, 7)
    A_bar = b[#{j: v_j <= A}]    b = [0, beta_1 .. beta_N]                                           (10)

The paper has M/2 levels on either side, and draws M = 3 (its Figure 3); of an odd M, ours has one more above 0 than
below.

The ReLU in front of a quantizer stays, where the paper leaves out "the bounded activation function": as v_1 > 0, no
level depends on it. It stops the gradient of those negative activations that are in the first segment, above t_0.
docs/paper.md has what small networks lose or gain without it.

Where activations may be negative, ours has b = [beta_1 .. beta_z, 0, beta_{z+1} .. beta_N].

The equations of forward and backward are in paconv.nn.functional, the quantizers in paconv.nn.quantizers.

B. Zhu, Z. Al-Ars, W. Pan: Towards Lossless Binary Convolutional Neural Networks Using Piecewise Approximation, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from paconv.errors import UsageError
from paconv.nn.quantizers import PAActivation, PAWeight, check_planes
from paconv.nn.schemes.scheme import Scheme
from paconv.schemes import SchemeRecord, records

__all__ = ["PA"]


@dataclass(frozen=True)
class PA(Scheme):
    """Piecewise approximation."""

    record: ClassVar[SchemeRecord] = records.PA

    M: int = record.default[0]
    """Weight planes: 1..8."""
    N: int | None = record.default[1]
    """Activation planes: 1..8, or None for full precision."""
    endpoints: str = "paper"
    """See PAWeight."""
    lambda_w: float | str = 2.0
    """See PAWeight."""
    lambda_a: float | None = None
    """See PAActivation."""
    lambda_delta: float = 1.0
    """See PAActivation."""
    signed: bool | str = "auto"
    """Whether activation quantizers have levels on both sides of 0: all, none, or those that aren't known to read
    nothing negative.
    """
    around_mean: bool = False
    """See PAWeight."""

    added_later: ClassVar[dict[str, object]] = {"signed": False, "around_mean": False}

    def __post_init__(self) -> None:
        check_planes(self.M, self.N)
        self._weight()
        PAActivation(1, lambda_a=self.lambda_a, lambda_delta=self.lambda_delta)
        if not (isinstance(self.signed, bool) or self.signed == "auto"):
            raise UsageError(f"signed must be True, False or 'auto'; found {self.signed!r}")

    def weight_quantizer(self, conv: nn.Conv2d) -> PAWeight:
        return self._weight()

    def _weight(self) -> PAWeight:
        return PAWeight(self.M, lambda_w=self.lambda_w, endpoints=self.endpoints, around_mean=self.around_mean)

    def activation(self, rectified: bool) -> PAActivation:
        assert self.N is not None
        return PAActivation(self.N, lambda_a=self.lambda_a, lambda_delta=self.lambda_delta, rectified=rectified)

    def takes_signed(self, nonnegative: bool) -> bool:
        return not nonnegative if self.signed == "auto" else bool(self.signed)

    def signed_activation(self, rectified: bool) -> PAActivation:
        assert self.N is not None
        return PAActivation(
            self.N, lambda_a=self.lambda_a, lambda_delta=self.lambda_delta, rectified=rectified, signed=True
        )

"""DoReFa-Net: weights of M bits, activations of N bits, evenly spaced.

    quantize_k(r) = round((2^k - 1) r) / (2^k - 1),   0 <= r <= 1;   dC/dr = dC/dquantize_k(r)        (eqs. 5, 6)
    M = 1:  W_bar = E|W| sign(W),  E|W| over the whole tensor;  dC/dW = dC/dW_bar                     (eqs. 7, 8)
    M > 1:  W_bar = 2 quantize_M(tanh(W) / (2 max|tanh(W)|) + 1/2) - 1                                (eq. 9)
    x_bar = quantize_N(clip(x, 0, 1))                                                                 (eq. 11)

with the chain rule through tanh, max and clip. Halves round up: with 2^k - 1 odd they are met at r = 1/2 alone, where
for k > 1 rounding to even does the same. Gradients aren't quantized: that is for training on few bits, which changes
nothing in the network.

Endpoints: quantize_k(r) reaches level j at r = (j - 1/2) / (2^k - 1), so a weight at
W = atanh(((2j - 1) / (2^k - 1) - 1) max|tanh(W)|).

S. Zhou, Y. Wu, Z. Ni, X. Zhou, H. Wen, Y. Zou: DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks with
Low Bitwidth Gradients, arXiv 1606.06160, 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from paconv.nn.quantizer import SteppedActivation, SteppedWeight
from paconv.nn.rounding import at_least, below
from paconv.nn.schemes.evenly import even_steps
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.schemes.sign import sign_steps
from paconv.nn.steps import Steps
from paconv.schemes import SchemeRecord, records

__all__ = ["DoReFa", "DoReFaActivation", "DoReFaWeight"]


def _endpoints(bits: int) -> Tensor:
    """(j - 1/2) / (2^bits - 1), j = 1..2^bits - 1: (1, 2^bits - 1) float64."""
    last = (1 << bits) - 1
    return (torch.arange(1, last + 1, dtype=torch.float64)[None] - 0.5) / last


class DoReFaWeight(SteppedWeight):
    """Weights of `bits` bits."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits

    def steps(self, W: Tensor) -> Steps:
        if self.bits == 1:
            return sign_steps(W.double().abs().mean().to(W.dtype).reshape(1, 1))
        last = (1 << self.bits) - 1
        largest = W.double().tanh().abs().amax()
        endpoints = torch.atanh((2 * _endpoints(self.bits).to(W.device) - 1) * largest)
        return even_steps(below(endpoints, W.dtype), -last, 2, 1 / last)

    def through(self, W: Tensor, steps: Steps) -> Tensor:
        if self.bits == 1:
            return W
        squashed = W.tanh()
        return squashed / squashed.abs().amax()

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


class DoReFaActivation(SteppedActivation):
    """Activations of `bits` bits between 0 and 1."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits

    def steps(self) -> Steps:
        return even_steps(at_least(_endpoints(self.bits), torch.float32), 0, 1, 1 / ((1 << self.bits) - 1))

    def through(self, x: Tensor, steps: Steps) -> Tensor:
        return x * ((x.detach() >= 0) & (x.detach() <= 1))

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


@dataclass(frozen=True)
class DoReFa(Scheme):
    """DoReFa-Net's scheme."""

    record: ClassVar[SchemeRecord] = records.DOREFA

    M: int = record.default[0]
    """Bits per weight: 1..4."""
    N: int | None = record.default[1]
    """Bits per activation: 1..8, or None for full precision."""

    def weight_quantizer(self, conv: nn.Conv2d) -> DoReFaWeight:
        return DoReFaWeight(self.M)

    def activation(self, rectified: bool) -> DoReFaActivation:
        assert self.N is not None
        return DoReFaActivation(self.N)

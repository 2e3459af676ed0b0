"""What a quantization scheme is to `paconv.convert`: planes, quantizers, and the layers that it spares.

A scheme is a frozen record of its parameters, M and N first, checked when it is made; all of them are JSON values, and
a checkpoint carries them. Each has a file of its own, which opens with its published equations and their source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf
from typing import ClassVar

from torch import nn

from paconv.errors import UsageError
from paconv.nn.layers import PAConv2d, PALinear, as_conv2d
from paconv.nn.quantizer import ActivationQuantizer, WeightQuantizer
from paconv.schemes import SchemeRecord

__all__ = ["Scheme", "check_positive_number"]


@dataclass(frozen=True)
class Scheme(ABC):
    """A quantization scheme with its planes, and the quantizers it makes.

    Raises:
        UsageError: M and N are none that `record` has.
    """

    record: ClassVar[SchemeRecord]
    """What the scheme is, without torch; the next four are taken from it."""
    name: ClassVar[str]
    """As in `paconv.convert(model, scheme=name)`."""
    title: ClassVar[str]
    """In print."""
    fixed: ClassVar[tuple[int, int | None] | None]
    """The only (M, N) that it has; None if there are several."""
    real_shortcuts: ClassVar[bool]
    """Whether 1x1 convolutions on the shortcut of a residual block stay real."""
    rectified_apart: ClassVar[bool] = False
    """Whether a ReLU before the activation quantizer changes what it does, so that convolutions that read one tensor
    with and without a ReLU can't share it.
    """
    any_padding: ClassVar[bool] = True
    """Whether a convolution may be padded by different amounts on opposite sides."""
    added_later: ClassVar[dict[str, object]] = {}
    """Parameters that older configurations haven't, with what they were as long as there was no choice."""
    moves_mean: ClassVar[bool] = False
    """Whether the levels of positive activations have another mean than these, so that running statistics of the float
    network's batch norms are not those of the quantized one.
    """

    M: int
    """Weight planes, or bits per weight."""
    N: int | None
    """Activation planes, or bits per activation; None for full precision."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name, cls.title = cls.record.name, cls.record.title
        cls.fixed, cls.real_shortcuts = cls.record.fixed, cls.record.real_shortcuts

    def __post_init__(self) -> None:
        if self.fixed is None:
            _check_planes(self)
        else:
            _check_fixed(self)

    @abstractmethod
    def weight_quantizer(self, conv: nn.Conv2d) -> WeightQuantizer:
        """A quantizer for the weight of `conv`."""

    @abstractmethod
    def activation(self, rectified: bool) -> ActivationQuantizer:
        """A quantizer of activations, where N isn't None.

        rectified: they went through a ReLU, and exact zeros are what it left of negative ones.
        """

    def takes_signed(self, nonnegative: bool) -> bool:
        """Whether activations that are, or aren't, known never to be negative get a `signed_activation`."""
        return False

    def signed_activation(self, rectified: bool) -> ActivationQuantizer:
        """The same for activations of which some are negative, where `takes_signed` says so."""
        return self.activation(rectified)

    def layer(self, conv: nn.Conv2d, activation: ActivationQuantizer | None) -> nn.Module:
        """What takes the place of `conv`, with its parameters."""
        return PAConv2d.from_conv(conv, self.weight_quantizer_for(conv), activation)

    @classmethod
    def has_linear(cls) -> bool:
        """Whether linear layers can be had: where a convolution is a PAConv2d and nothing else."""
        return cls.layer is Scheme.layer

    def linear(self, linear: nn.Linear, activation: ActivationQuantizer | None) -> nn.Module:
        """What takes the place of `linear`, with its parameters, where there is such a thing."""
        return PALinear.from_linear(linear, self.weight_quantizer_for(as_conv2d(linear)), activation)

    def weight_quantizer_for(self, conv: nn.Conv2d) -> WeightQuantizer:
        """A quantizer beside `conv`'s weight (its device and dtype), with parameters that start from it."""
        quantizer = self.weight_quantizer(conv).to(conv.weight.device, conv.weight.dtype)
        quantizer.initialize_(conv.weight.detach())
        return quantizer


def _check_planes(scheme: Scheme) -> None:
    full = scheme.record.full_activations
    for name, value, most in (("M", scheme.M, scheme.record.M[-1]), ("N", scheme.N, scheme.record.most_N)):
        if name == "N" and value is None and full:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            or_none = " or None (full precision)" if name == "N" and full else ""
            raise UsageError(f"{scheme.title}: {name} must be 1..{most}{or_none}; found {name}={value!r}")


def _check_fixed(scheme: Scheme) -> None:
    assert scheme.fixed is not None
    M, N = scheme.fixed
    if isinstance(scheme.M, bool) or (scheme.M, scheme.N) != scheme.fixed:
        full = " (full-precision activations)" if N is None else ""
        raise UsageError(f"{scheme.title} has M={M}, N={N}{full}; found M={scheme.M!r}, N={scheme.N!r}")


def check_positive_number(title: str, **options: object) -> None:
    """Raise UsageError naming the first option that isn't a positive number."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < inf:
            raise UsageError(f"{title}: {name} must be a positive number; found {value!r}")

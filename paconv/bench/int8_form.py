"""The 8-bit forms that onnxruntime runs, which of them it advises for a CPU, and whether one saturates on this CPU.

    U8S8    levels of activations unsigned, those of weights signed; S8S8: both signed; U8U8: neither

On x86 without VNNI onnxruntime adds pairs of products in 16 bits, VPMADDUBSW, which saturates:

    255 (127 + 127) = 64,770  >  32,767  >=  255 (64 + 64) = 32,640

so that outputs are wrong by a lot where weights lie beyond +-64, and exact where they don't: those of `reduce_range`,
"7-bit weights", which take the same time. S8S8 in the QDQ form runs as U8S8 there. The advice is that of onnxruntime's
documentation (quantize_static, "Choosing parameters for CPU inference"; "When to use reduce-range").
"""

from __future__ import annotations

import platform
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort

from paconv.cost.host.probe import conv, integer_conv
from paconv.measure.features import VNNI, cpu_features

__all__ = ["REDUCED", "S8S8", "U8S8", "Advice", "Form", "advised", "int8_advice", "saturates"]

_SEVEN_BITS = 64
"""The largest weight of which no pair of products saturates."""

_X86, _ARM = ("x86_64", "amd64"), ("aarch64", "arm64")


@dataclass(frozen=True)
class Form:
    """A form of 8-bit model."""

    activations: str
    """numpy's name of their type."""
    weights: str
    """numpy's name of their type."""
    largest: int
    """|weight| is at most that."""
    qdq: bool = True
    """Whether it is written as QuantizeLinear and DequantizeLinear around float nodes, or as 8-bit nodes such as
    QLinearConv.
    """

    @property
    def name(self) -> str:
        kind = f"{'S' if self.activations == 'int8' else 'U'}8{'S' if self.weights == 'int8' else 'U'}8"
        return kind + (", 7-bit weights" if kind == "U8S8" and self.largest <= _SEVEN_BITS else "")

    @property
    def may_saturate(self) -> bool:
        """Whether it does on a CPU that adds pairs of products in 16 bits."""
        products = self.activations == "uint8" or self.qdq
        return products and self.weights == "int8" and self.largest > _SEVEN_BITS


U8S8 = Form("uint8", "int8", 127)
REDUCED = Form("uint8", "int8", _SEVEN_BITS)
S8S8 = Form("int8", "int8", 127)


@dataclass(frozen=True)
class Advice:
    """Which 8-bit form to compare with on this CPU."""

    form: Form
    """The one that onnxruntime advises."""
    cpu: str
    """For which CPUs it advises it."""
    saturates: bool
    """Whether U8S8 saturates here, as measured."""

    def as_data(self) -> dict[str, Any]:
        return {"form": self.form.name, "advised_for": self.cpu, "u8s8_saturates": self.saturates}

    @property
    def lines(self) -> list[str]:
        """For a person."""
        does = "saturates" if self.saturates else "doesn't saturate"
        return [
            f"8-bit form: {self.form.name}, which onnxruntime advises for {self.cpu}; measured: {U8S8.name} with "
            f"weights of 8 bits {does} on this CPU"
        ]


def advised(features: Collection[str], machine: str) -> tuple[Form, str]:
    """(form, for which CPU). features: as of cpu_features; machine: as of platform.machine().

    An x86 CPU that nothing is known of counts as one without VNNI: 7-bit weights are exact on both.
    """
    if machine.lower() in _X86:
        return (U8S8, "x86-64 with VNNI") if set(VNNI) & set(features) else (REDUCED, "x86-64 without VNNI")
    return S8S8, "ARM" if machine.lower() in _ARM else "CPUs other than x86-64"


def int8_advice() -> Advice:
    """For this CPU."""
    return Advice(*advised(cpu_features(), platform.machine()), saturates(U8S8))


@cache
def saturates(form: Form) -> bool:
    """Whether onnxruntime's QLinearConv of this form gives another sum here than integers do.

    Asked with a convolution whose products are the largest that there are.
    """
    layer, expected = conv(16, 16, 4, kernel=1), 100
    low, total = np.iinfo(form.activations).min, 16 * 255 * form.largest
    model = integer_conv(layer, {
        "x_scale": np.array(1, np.float32), "x_zero": np.array(low, form.activations),
        "W": np.full(layer.weight_shape, form.largest, form.weights),
        "w_scale": np.array(1, np.float32), "w_zero": np.array(0, form.weights),
        "y_scale": np.array(total / expected, np.float32), "y_zero": np.array(low, form.activations),
    })  # fmt: skip
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"X": np.full(layer.input_shape, low + 255, form.activations)})
    return bool(np.any(y.astype(int) - low != expected))

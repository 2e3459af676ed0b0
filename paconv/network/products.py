"""Ops whose work is multiply-accumulates: standard ones, and those that onnxruntime and its quantizer write.

What is counted has its inputs listed here. What multiplies too but isn't counted (recurrent cells, Einsum, attention
as one op, a convolution inside a branch or loop) is told by its name, so that a count never leaves it out in silence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from paconv.network.layers import CONV, CONV_TRANSPOSE, LINEAR

__all__ = ["PRODUCTS", "Product", "multiplies"]


class Product(NamedTuple):
    """Where an op has its data, weight and bias; bias None where it has none."""

    kind: str
    data: int = 0
    weight: int = 1
    bias: int | None = None


_MICROSOFT = "com.microsoft"

PRODUCTS = {
    "Conv": Product(CONV, bias=2),
    "ConvTranspose": Product(CONV_TRANSPOSE, bias=2),
    "ConvInteger": Product(CONV),
    "DeformConv": Product(CONV, bias=3),
    "QLinearConv": Product(CONV, weight=3, bias=8),
    f"{_MICROSOFT}.FusedConv": Product(CONV, bias=2),
    f"{_MICROSOFT}.NhwcFusedConv": Product(CONV, bias=2),
    f"{_MICROSOFT}.QLinearConv": Product(CONV, weight=3, bias=8),
    f"{_MICROSOFT}.nchwc.Conv": Product(CONV, bias=2),
    "Gemm": Product(LINEAR, bias=2),
    "MatMul": Product(LINEAR),
    "MatMulInteger": Product(LINEAR),
    "QLinearMatMul": Product(LINEAR, weight=3),
    f"{_MICROSOFT}.DynamicQuantizeMatMul": Product(LINEAR, bias=4),
    f"{_MICROSOFT}.FusedGemm": Product(LINEAR, bias=2),
    f"{_MICROSOFT}.FusedMatMul": Product(LINEAR),
    f"{_MICROSOFT}.MatMulIntegerToFloat": Product(LINEAR, bias=6),
    f"{_MICROSOFT}.QGemm": Product(LINEAR, weight=3, bias=6),
}
"""Name of the op, with its domain -> where its inputs are."""

_NAMES = re.compile(r"Conv(?!ert)|MatMul|Gemm|Attention|Einsum|LSTM|GRU|RNN|MoE")


def multiplies(op: str) -> bool:
    """Whether an op, by its name, is a convolution, matrix product or recurrent cell."""
    return _NAMES.search(op.rpartition(".")[2]) is not None

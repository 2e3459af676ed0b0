"""Which 8-bit forms a model has, whoever quantized it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.bench.int8_form import Form
from paconv.ops import DOMAIN

__all__ = ["forms_of", "is_float"]

_OPERATORS = {"QLinearConv": (2, 3), "QLinearMatMul": (2, 3), "ConvInteger": (2, 1), "MatMulInteger": (2, 1)}
"""8-bit operator -> which of its inputs are the activations' zero point and the weights."""

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")

_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", *_OPERATORS)


def is_float(model: onnx.ModelProto) -> bool:
    """Whether it computes as trained: nothing of it is quantized or approximated."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    return not any(node.op_type in _QUANTIZED or node.domain == DOMAIN for node in nodes)


def forms_of(model: onnx.ModelProto) -> list[Form]:
    """The forms of its convolutions and matrix products whose weights are constants, each once; none of a float model.

    largest: over all weights of that form.
    """
    found: dict[tuple[str, str, bool], int] = {}
    for activations, weight, qdq in _products(model.graph):
        key = activations, weight.dtype.name, qdq
        found[key] = max(found.get(key, 0), int(np.abs(weight.astype(int)).max(initial=0)))
    return [Form(activations, weights, largest, qdq) for (activations, weights, qdq), largest in found.items()]


def _products(graph: onnx.GraphProto) -> Iterator[tuple[str, np.ndarray, bool]]:
    """(type of the activations, weights, whether in QDQ form) of every 8-bit product."""
    stored = {i.name: i for i in graph.initializer}
    dequantized = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}

    def kind(node: onnx.NodeProto, zero_point: int) -> str:
        """The type of the activations by their zero point; without one, or one that is computed, they are unsigned."""
        name = node.input[zero_point] if len(node.input) > zero_point else ""
        return numpy_helper.to_array(stored[name]).dtype.name if name in stored else "uint8"

    for node in graph.node:
        if node.op_type in _OPERATORS:
            zero_point, at = _OPERATORS[node.op_type]
            if node.input[at] in stored:
                yield kind(node, zero_point), numpy_helper.to_array(stored[node.input[at]]), False
        elif node.op_type in _PRODUCTS and {*node.input[:2]} <= {*dequantized}:
            x, weight = (dequantized[name] for name in node.input[:2])
            if weight.input[0] in stored:
                yield kind(x, 2), numpy_helper.to_array(stored[weight.input[0]]), True

"""Questions about a graph that several passes ask."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
import onnx_graphsurgeon as gs

from paconv.errors import ModelError
from paconv.ops import DOMAIN

__all__ = [
    "ONE_TENSOR",
    "TWO_TENSORS",
    "clip_bounds",
    "constant_value",
    "data_inputs",
    "is_op",
    "is_paconv_op",
    "is_zero",
    "optional_input",
    "producer",
    "readers",
    "static_value",
]

ONE_TENSOR = (
    "Clip", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Softplus", "Tanh",
)  # fmt: skip
"""Ops that work on each element of their first input, so in any layout alike."""

TWO_TENSORS = ("Add", "Div", "Mul", "Sub")
"""Ops that combine (B, C, H, W) tensors element by element, broadcasting included."""


def is_op(node: gs.Node | None, *ops: str) -> TypeGuard[gs.Node]:
    """Whether `node` is one of these ops of the standard domain."""
    return node is not None and node.domain in (None, "", "ai.onnx") and node.op in ops


def is_paconv_op(node: gs.Node | None, op: str) -> TypeGuard[gs.Node]:
    """Whether `node` is this op of domain paconv."""
    return node is not None and node.domain == DOMAIN and node.op == op


def producer(tensor: gs.Tensor) -> gs.Node | None:
    """The node that computes `tensor`, None for graph inputs and initializers."""
    return tensor.inputs[0] if tensor.inputs else None


def readers(tensor: gs.Tensor) -> list[tuple[gs.Node, int]]:
    """Every (node, input index) that reads `tensor`, top-level and in subgraphs."""
    nodes = {id(n): n for n in tensor.outputs}.values()
    return [(n, i) for n in nodes for i, t in enumerate(n.inputs) if t is tensor]


def optional_input(node: gs.Node, index: int) -> gs.Tensor | None:
    """Input `index` of `node`, None where it is left out."""
    if index >= len(node.inputs) or node.inputs[index].is_empty():
        return None
    return node.inputs[index]


def static_value(tensor: gs.Tensor) -> np.ndarray | None:
    """The tensor's value if it is an initializer or comes from a Constant node, through any Identity; else None."""
    while is_op(node := producer(tensor), "Identity"):
        tensor = node.inputs[0]
    if isinstance(tensor, gs.Constant):
        return tensor.values
    if not is_op(node, "Constant"):
        return None
    (name, value), *_ = node.attrs.items()
    if name == "value":
        return value.values
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    return np.array(value, kinds[name]) if name in kinds else None


def constant_value(tensor: gs.Tensor) -> np.ndarray:
    """`static_value` of a tensor that is known to have one. Raises ModelError if it has none."""
    value = static_value(tensor)
    if value is None:
        raise ModelError(f"'{tensor.name}': expected an initializer, found a computed tensor")
    return value


def is_zero(tensor: gs.Tensor) -> bool:
    """Whether the tensor is a constant of zeros alone."""
    value = static_value(tensor)
    return value is not None and not value.any()


def clip_bounds(node: gs.Node) -> tuple[float, float] | None:
    """(l, h) of a Relu, or of a Clip with constant bounds; else None."""
    if is_op(node, "Relu"):
        return 0.0, np.inf
    if not is_op(node, "Clip"):
        return None
    bounds = []
    for index, default in ((1, -np.inf), (2, np.inf)):
        tensor = optional_input(node, index)
        value = np.float32(default) if tensor is None else static_value(tensor)
        if value is None or value.size != 1 or np.isnan(value).any():
            return None
        bounds.append(float(value.reshape(())))
    return bounds[0], bounds[1]


def data_inputs(node: gs.Node) -> list[int]:
    """Indexes of the tensors that an op of ONE_TENSOR or TWO_TENSORS works on; else none. Numbers, constants of one
    element, aren't among them: they are the same in any layout.
    """
    if is_op(node, *ONE_TENSOR):
        return [0]
    return [k for k, t in enumerate(node.inputs) if not _is_number(t)] if is_op(node, *TWO_TENSORS) else []


def _is_number(tensor: gs.Tensor) -> bool:
    value = static_value(tensor)
    return value is not None and value.size == 1 and value.ndim <= 4

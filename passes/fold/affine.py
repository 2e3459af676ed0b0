"""Nodes that compute a = s_c x + b_c with constants of each channel c: batch norm, and Add, Sub, Mul, Div by constants.

    BatchNormalization(x, gamma, beta, mean, var; epsilon):  s = gamma / sqrt(var + epsilon),  b = beta - mean s
    x * k: (k, 0)    x / k: (1 / k, 0)    x + k: (1, k)    x - k: (1, -k)    k - x: (-1, k)

in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from paconv.errors import ModelError
from paconv.passes.graph.graph_pass import Unsuitable
from paconv.passes.graph.matching import is_op, readers, static_value
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["Affine", "affine_of"]


@dataclass(frozen=True)
class Affine:
    """A node that computes s_c * x + b_c."""

    node: gs.Node
    """The node."""
    x: gs.Tensor
    """Its variable input."""
    s: np.ndarray
    """(1 or C,) float64, finite."""
    b: np.ndarray
    """(1 or C,) float64, finite."""

    @property
    def kind(self) -> str:
        """'bn' for batch norm, 'affine' for arithmetic with a constant."""
        return "bn" if self.node.op == "BatchNormalization" else "affine"


def affine_of(node: gs.Node | None, channels: int, graph: ModelGraph) -> Affine | None:
    """The affine form of `node`, whose result has `channels` channels; None if it is of another kind.

    Raises Unsuitable for a batch norm in training mode or without constant parameters, and where s or b isn't finite;
    ModelError for a batch norm of another number of channels.
    """
    found: Affine | None
    if is_op(node, "BatchNormalization"):
        found = _batch_norm(node, graph)
    elif is_op(node, "Mul", "Add", "Sub", "Div"):
        found = _arithmetic(node, channels)
    else:
        return None
    if found is None:
        return None
    if len(found.s) not in (1, channels):
        raise ModelError(f"{graph.label(node)}: expected parameters of {channels} channels, found {len(found.s)}")
    if not (np.isfinite(found.s).all() and np.isfinite(found.b).all()):
        raise Unsuitable("non-finite-parameters")
    return found


def _batch_norm(node: gs.Node, graph: ModelGraph) -> Affine:
    if node.attrs.get("training_mode", 0) or any(readers(t) or not graph.is_free(t) for t in node.outputs[1:]):
        raise Unsuitable("training-mode")
    values = [value for t in node.inputs[1:] if (value := static_value(t)) is not None]
    if len(values) < len(node.inputs) - 1 or any(p.dtype != np.float32 or p.ndim != 1 for p in values):
        raise Unsuitable("parameters-not-constant")
    gamma, beta, mean, var = (p.astype(np.float64) for p in values)
    with np.errstate(all="ignore"):  # what isn't finite is refused above
        s = gamma / np.sqrt(var + float(np.float32(node.attrs.get("epsilon", 1e-5))))
        return Affine(node, node.inputs[0], s, beta - mean * s)


def _arithmetic(node: gs.Node, channels: int) -> Affine | None:
    left, right = (static_value(t) for t in node.inputs)
    if left is None and right is not None:
        x, constant = node.inputs[0], right
    elif left is not None and right is None:
        x, constant = node.inputs[1], left
    else:
        return None
    k = _per_channel(constant, x, channels)
    if k is None or (node.op == "Div" and left is not None):
        return None
    zero, one = np.zeros(1), np.ones(1)
    with np.errstate(divide="ignore"):
        s, b = {
            "Mul": lambda: (k, zero),
            "Div": lambda: (1 / k, zero),
            "Add": lambda: (one, k),
            "Sub": lambda: (one, -k) if left is None else (-one, k),
        }[node.op]()
    return Affine(node, x, s, b)


def _per_channel(k: np.ndarray, x: gs.Tensor, channels: int) -> np.ndarray | None:
    """k (1 or C,) float64 if x is known to be (B, C, H, W) and the float32 constant k varies with the channel only."""
    if x.shape is None or len(x.shape) != 4 or x.shape[1] != channels or k.dtype != np.float32 or k.ndim > 4:
        return None
    shape = (1,) * (4 - k.ndim) + k.shape
    if shape[0] != 1 or shape[2:] != (1, 1) or shape[1] not in (1, channels):
        return None
    return k.reshape(-1).astype(np.float64)

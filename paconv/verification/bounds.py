"""Float64 values with a bound on what float32 made of them, along chains of simple nodes.

A `Bounded` holds the exact value a (float64) and e with |float32 result - a| <= e, to first order in u = 2**-24, the
rounding error of one float32 operation. Through the nodes that passes fold:

    BatchNormalization   a' = s a + b, s = gamma / sqrt(var + eps), b = beta - mean s
                         onnxruntime rounds s (4 operations), mean s, b, s a and the sum:
                         e' = |s| e + 8 u (|s a| + |mean s| + |beta|)
    Mul, Div by k        e' = |k| e + u |a'|          Add, Sub   e' = e + u |a'|
    Relu, Clip, Identity, Dropout    e' = e (they move nothing apart)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from paconv.errors import VerifyError

__all__ = ["UNIT", "Bounded", "through"]

UNIT = 2.0**-24
"""u: relative rounding error of a float32 operation."""


@dataclass(frozen=True)
class Bounded:
    """value: float64 array (B, C, H, W); error: what float32 may differ by, same shape or 0."""

    value: np.ndarray
    error: np.ndarray | float = 0.0


def through(node: onnx.NodeProto, x: Bounded, constants: dict[str, np.ndarray], source: str) -> Bounded:
    """`node` applied to its input `source`, whose value is x. Raises VerifyError for a node that isn't simple."""
    kind = node.op_type
    if kind in ("Identity", "Dropout"):
        return x
    if kind == "Relu":
        return Bounded(np.maximum(x.value, 0), x.error)
    if kind == "Clip":
        low, high = (_constant(node, k, constants) for k in (1, 2))
        return Bounded(np.clip(x.value, low, high), x.error)
    if kind == "BatchNormalization":
        gamma, beta, mean, var = (_by_channel(_constant(node, k, constants)) for k in range(1, 5))
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), np.float32(1e-5))
        s = gamma / np.sqrt(var + float(np.float32(epsilon)))
        b = beta - mean * s
        error = np.abs(s) * x.error + 8 * UNIT * (np.abs(s * x.value) + np.abs(mean * s) + np.abs(beta))
        return Bounded(s * x.value + b, error)
    if kind in ("Mul", "Div", "Add", "Sub"):
        first = node.input[0] == source
        k = _constant(node, 1 if first else 0, constants)
        left, right = (x.value, k) if first else (k, x.value)
        value = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}[kind](left, right)
        slope = np.abs(k) if kind == "Mul" else 1 / np.abs(k) if kind == "Div" else 1.0
        return Bounded(value, slope * x.error + UNIT * np.abs(value))
    raise VerifyError(
        f"node '{node.name}' ({kind}) stands between a quantizer or convolution and what was folded into it"
    )


def _constant(node: onnx.NodeProto, index: int, constants: dict[str, np.ndarray]) -> np.ndarray | None:
    name = node.input[index] if index < len(node.input) else ""
    if not name:
        return None
    if name not in constants:
        raise VerifyError(f"node '{node.name}': expected input '{name}' to be constant")
    return constants[name].astype(np.float64)


def _by_channel(values: np.ndarray) -> np.ndarray:
    return values.reshape(1, -1, 1, 1)

"""Float64 values with a bound on what float32 made of them, along chains of simple nodes.

A `Bounded` holds the exact value a (float64) and e with |float32 result - a| <= e, to first order in u = 2**-24, the
rounding error of one float32 operation, and h = 2**-150, what a product or quotient loses among the subnormal numbers
(sums are exact there). Through the nodes that passes fold:

    BatchNormalization   a' = s a + b, s = gamma / sqrt(var + eps), b = beta - mean s
                         onnxruntime rounds s (4 operations), mean s, b, s a and the sum:
                         e' = |s| e + 8 u (|s a| + |mean s| + |beta|) + h (|a| + e + |mean| + 3)
    Mul, Div by k        e' = |k| e + u |a'| + h      Add, Sub   e' = e + u |a'|
    Relu, Clip, Identity, Dropout    e' = e (they move nothing apart)

Where float32 may overflow on the way its result says nothing, and is lost.

`folded` gives a' = s a + b of a whole chain, where no node of it clips.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx

from paconv.errors import VerifyError

__all__ = ["TINY", "UNIT", "Affine", "Bounded", "folded", "gamma", "through"]

UNIT = 2.0**-24
"""u: relative rounding error of a float32 operation."""

TINY = 2.0**-150
"""h: rounding error of a float32 product or quotient that is subnormal."""

_LARGEST = float(np.finfo(np.float32).max)


def gamma(k: int) -> float:
    """k u / (1 - k u): bound of the relative error of k roundings of float32."""
    return k * UNIT / (1 - k * UNIT)


@dataclass(frozen=True)
class Bounded:
    """A tensor of exact values, and how far float32 may be off."""

    value: np.ndarray
    """(B, C, H, W) float64."""
    error: np.ndarray | float = 0.0
    """Of the same shape, or 0."""
    lost: np.ndarray | bool = False
    """Where float32 may have overflowed."""


def through(node: onnx.NodeProto, x: Bounded, constants: dict[str, np.ndarray], source: str) -> Bounded:
    """`node` applied to its input `source`, whose value is x. Raises VerifyError for a node that isn't simple."""
    found = _through(node, x, constants, source)
    return Bounded(found.value, found.error, x.lost | (np.abs(found.value) + found.error >= _LARGEST))


def _through(node: onnx.NodeProto, x: Bounded, constants: dict[str, np.ndarray], source: str) -> Bounded:
    kind = node.op_type
    if kind in ("Identity", "Dropout"):
        return x
    if kind == "Relu":
        return Bounded(np.maximum(x.value, 0), x.error)
    if kind == "Clip":
        low, high = (_maybe_constant(node, k, constants) for k in (1, 2))
        return Bounded(np.clip(x.value, low, high), x.error)
    if kind == "BatchNormalization":
        s, b, size = _batch_norm(node, constants)
        mean = np.abs(_by_channel(_constant(node, 3, constants)))
        error = np.abs(s) * x.error + 8 * UNIT * (np.abs(s * x.value) + size)
        return Bounded(s * x.value + b, error + TINY * (np.abs(x.value) + x.error + mean + 3))
    if kind in ("Mul", "Div", "Add", "Sub"):
        first = node.input[0] == source
        k = _constant(node, 1 if first else 0, constants)
        left, right = (x.value, k) if first else (k, x.value)
        value = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}[kind](left, right)
        slope = np.abs(k) if kind == "Mul" else 1 / np.abs(k) if kind == "Div" else 1.0
        return Bounded(value, slope * x.error + UNIT * np.abs(value) + (TINY if kind in ("Mul", "Div") else 0))
    raise _not_simple(node)


@dataclass(frozen=True)
class Affine:
    """a' = slope a + offset, by a chain of nodes, in float64. All arrays broadcast against (B, C, H, W)."""

    slope: np.ndarray
    """The factor."""
    offset: np.ndarray
    """The summand."""
    size: np.ndarray
    """The sum of the absolute values that offset is a sum of, which bounds its rounding."""
    nodes: int
    """Number of nodes in the chain."""


def folded(path: Iterable[tuple[onnx.NodeProto, str]], offset: np.ndarray, constants: dict[str, np.ndarray]) -> Affine:
    """a + offset through the nodes of OpenModel.path. Raises VerifyError for a node that isn't affine."""
    slope, size, nodes = np.ones((1, 1, 1, 1)), np.abs(offset), 0
    for node, source in path:
        s, b, added = _affine(node, constants, source)
        slope, offset, size, nodes = s * slope, s * offset + b, np.abs(s) * size + added, nodes + 1
    return Affine(slope, offset, size, nodes)


def _affine(node: onnx.NodeProto, constants: dict[str, np.ndarray], source: str) -> tuple[np.ndarray, ...]:
    """(s, b, size) of `node`."""
    kind, zero, one = node.op_type, np.zeros(()), np.ones(())
    if kind in ("Identity", "Dropout"):
        return one, zero, zero
    if kind == "BatchNormalization":
        return _batch_norm(node, constants)
    if kind in ("Mul", "Div", "Add", "Sub"):
        is_first = node.input[0] == source
        k = _constant(node, 1 if is_first else 0, constants)
        if kind == "Mul":
            return k, zero, zero
        if kind == "Div" and is_first:
            return 1 / k, zero, zero
        if kind == "Add":
            return one, k, np.abs(k)
        if kind == "Sub":
            return (one, -k, np.abs(k)) if is_first else (-one, k, np.abs(k))
    raise _not_simple(node)


def _batch_norm(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    gamma, beta, mean, var = (_by_channel(_constant(node, k, constants)) for k in range(1, 5))
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), np.float32(1e-5))
    s = gamma / np.sqrt(var + float(np.float32(epsilon)))
    return s, beta - mean * s, np.abs(mean * s) + np.abs(beta)


def _not_simple(node: onnx.NodeProto) -> VerifyError:
    return VerifyError(
        f"node '{node.name}' ({node.op_type}) stands between a quantizer or convolution and what was folded into it"
    )


def _constant(node: onnx.NodeProto, index: int, constants: dict[str, np.ndarray]) -> np.ndarray:
    found = _maybe_constant(node, index, constants)
    assert found is not None  # an input that the op requires
    return found


def _maybe_constant(node: onnx.NodeProto, index: int, constants: dict[str, np.ndarray]) -> np.ndarray | None:
    name = node.input[index] if index < len(node.input) else ""
    if not name:
        return None
    if name not in constants:
        raise VerifyError(f"node '{node.name}': expected input '{name}' to be constant")
    return constants[name].astype(np.float64)


def _by_channel(values: np.ndarray) -> np.ndarray:
    return values.reshape(1, -1, 1, 1)

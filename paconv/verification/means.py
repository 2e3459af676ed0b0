"""Means over rows and columns as a product with a row r of n = H W times 1 / n (paconv.passes.fuse.squeeze).

    m = sum_k r_k x_k,  r_k = 1 / n rounded:    |m - mean(x)| <= gamma_{n+1} mean(|x|) + n h

to first order in u and h of paconv.verification.bounds: r_k and each product are rounded, and n - 1 sums, in any order.
"""

from __future__ import annotations

import numpy as np
import onnx

from paconv.passes.fuse.layout import to_channel_last
from paconv.verification.bounds import TINY, gamma
from paconv.verification.layers import first

__all__ = ["mean_constants", "mean_parts", "wrong_mean"]


def mean_constants(name: str, row: np.ndarray) -> dict[str, np.ndarray]:
    """Initializers that `mean_parts` reads. row (1, H W)."""
    return {
        f"{name}.served.row": row,
        f"{name}.served.rows": np.array([0, 1, row.size, 0], np.int64),
        f"{name}.served.last": np.array([0, -1, 1, 1], np.int64),
    }


def mean_parts(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Nodes that make what a mean of the canonical form makes as a product does."""
    helper, m = onnx.helper, node.output[0]
    X, rows, product = (f"{m}.served.{name}" for name in ("X", "flat", "product"))
    return [
        helper.make_node("Transpose", [node.input[0]], [X], perm=to_channel_last()),
        helper.make_node("Reshape", [X, f"{m}.served.rows"], [rows]),
        helper.make_node("MatMul", [f"{m}.served.row", rows], [product], node.name),
        helper.make_node("Reshape", [product, f"{m}.served.last"], [m]),
    ]


def wrong_mean(name: str, x: np.ndarray, m: np.ndarray) -> str | None:
    """Where m (B, C, 1, 1) float32 isn't the mean of x (B, C, H, W), in words; None if it is."""
    n, exact = x.shape[2] * x.shape[3], x.mean((2, 3), np.float64, keepdims=True)
    bound = gamma(n + 1) * np.abs(x).mean((2, 3), np.float64, keepdims=True) + TINY * n
    if m.shape != exact.shape:
        return f"tensor '{name}': shape {m.shape} instead of {exact.shape}"
    wrong = ~(np.abs(m - exact) <= bound) & np.isfinite(exact)
    if not wrong.any():
        return None
    at = first(wrong)
    return (
        f"tensor '{name}': {int(wrong.sum())} means are beyond their bound, first at {at}: {m[at]} instead of "
        f"{exact[at]} +- {bound[at]:.3g}"
    )

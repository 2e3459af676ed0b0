"""A packed model with another number of planes: the same graph and sizes, other levels. It computes something else.

Time and size don't depend on the values, so to measure (1, 1) or (3, 3) a packed model's nodes are given levels,
endpoints and codes in between those that they have:

    alpha'_0, beta'_0          alpha_0, beta_0
    alpha'_i, beta'_j, v'_k    the old values from 1 on, read at M', N' and N' evenly spaced positions, interpolated
    code'                      ceil(code M' / M)

With `signs`, (1, 1) has the levels -a, +a and -b, +b, as in Bi-Real Net, a and b the largest of the old ones.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from paconv import bits, ops
from paconv.errors import UsageError
from paconv.onnx_file.graph_view import attribute
from paconv.ops.pa_bit_conv import PA_BIT_CONV

__all__ = ["recoded"]

_SLOTS = {tensor.name: slot for slot, tensor in enumerate(PA_BIT_CONV.inputs)}
_CHANGED = ("W", "alpha", "v", "beta")


def recoded(model: onnx.ModelProto, M: int, N: int, signs: bool = False) -> onnx.ModelProto:
    """A copy of a packed model of PA's one-hot planes, in canonical form, every PABitConv of it at (M, N).

    Raises UsageError if M or N isn't 1 to MAX_PLANES, or `signs` is asked for at another (M, N) than (1, 1).
    """
    if not (1 <= M <= bits.MAX_PLANES and 1 <= N <= bits.MAX_PLANES):
        raise UsageError(f"expected M and N from 1 to {bits.MAX_PLANES}; found {M} and {N}")
    if signs and (M, N) != (1, 1):
        raise UsageError(f"signs: expected M = N = 1; found {M} and {N}")
    made = onnx.ModelProto()
    made.CopyFrom(model)
    stored = {i.name: numpy_helper.to_array(i) for i in made.graph.initializer}
    fresh: dict[str, np.ndarray] = {}
    for node in made.graph.node:
        if (node.domain, node.op_type) == (ops.DOMAIN, "PABitConv"):
            _recode(node, stored, fresh, M, N, signs)
    read = {name for node in made.graph.node for name in node.input}
    kept = [i for i in made.graph.initializer if i.name in read]
    del made.graph.initializer[:]
    made.graph.initializer.extend(kept)
    made.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in fresh.items())
    return made


def _recode(
    node: onnx.NodeProto, stored: dict[str, np.ndarray], fresh: dict[str, np.ndarray], M: int, N: int, signs: bool
) -> None:
    names = {key: node.input[_SLOTS[key]] for key in _CHANGED}
    old = {key: stored[name] for key, name in names.items()}
    shape = attribute(node, "weight_shape")
    planes = len(attribute(node, "weight_masks")) - 1
    codes = -(-bits.unpack_codes(old["W"], prod(shape)).astype(np.int64) * M // planes)
    alpha, beta = old["alpha"], old["beta"][None]
    if signs:
        alpha, beta = (np.abs(x).max(axis=1, keepdims=True) * [-1, 1] for x in (alpha, beta))
    else:
        alpha, beta = (np.hstack([x[:, :1], _spread(x[:, 1:], n)]) for x, n in ((alpha, M), (beta, N)))
    new = {
        "W": bits.pack_codes(codes.reshape(shape), bits.code_bits(M + 1)),
        "alpha": alpha,
        "v": _spread(old["v"], N),
        "beta": beta[0],
    }
    for key, name in names.items():
        node.input[_SLOTS[key]] = f"{name}//{M}x{N}"
        fresh[f"{name}//{M}x{N}"] = new[key].astype(old[key].dtype)
    for name, masks in (("weight_masks", bits.one_hot_masks(M)), ("level_masks", bits.one_hot_masks(N))):
        next(a for a in node.attribute if a.name == name).CopyFrom(helper.make_attribute(name, masks))


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """(R, n) -> (R, count): each row read at `count` evenly spaced positions; at its middle for one."""
    last = rows.shape[1] - 1
    positions = np.linspace(0, last, count) if count > 1 else [last / 2]
    return np.stack([np.interp(positions, np.arange(last + 1), row) for row in rows])

"""A packed model with another number of planes: the same graph and sizes, other levels. It computes something else.

Training makes M = 2, 4, 6 and 8 only; PABitConv takes 1 to 8. Time and size don't depend on the values, so to measure
(1, 1) or (3, 3) a packed model's nodes are given levels, endpoints and codes in between those that they have:

    alpha'_i, beta'_j, v'_k    sorted old values read at M+1, N+1 and N evenly spaced positions, by linear interpolation
    code'                      floor(code (M'+1) / (M+1))

At (1, 1) the activations' levels are -beta_max and +beta_max, as in Bi-Real Net.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from paconv import bits, ops
from paconv.cost.graph import attribute
from paconv.errors import UsageError
from paconv.ops.pa_bit_conv import PA_BIT_CONV

__all__ = ["recoded"]

_SLOTS = {tensor.name: slot for slot, tensor in enumerate(PA_BIT_CONV.inputs)}
_CHANGED = ("W", "alpha", "v", "beta")


def recoded(model: onnx.ModelProto, M: int, N: int) -> onnx.ModelProto:
    """A copy of a packed model, every PABitConv of it at (M, N). Raises UsageError if M or N isn't 1 to MAX_PLANES."""
    if not (1 <= M <= bits.MAX_PLANES and 1 <= N <= bits.MAX_PLANES):
        raise UsageError(f"expected M and N from 1 to {bits.MAX_PLANES}; found {M} and {N}")
    made = onnx.ModelProto()
    made.CopyFrom(model)
    stored = {i.name: numpy_helper.to_array(i) for i in made.graph.initializer}
    fresh: dict[str, np.ndarray] = {}
    for node in made.graph.node:
        if (node.domain, node.op_type) == (ops.DOMAIN, "PABitConv"):
            _recode(node, stored, fresh, M, N)
    read = {name for node in made.graph.node for name in node.input}
    kept = [i for i in made.graph.initializer if i.name in read]
    del made.graph.initializer[:]
    made.graph.initializer.extend(kept)
    made.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in fresh.items())
    del made.functions[:]
    ops.add_functions(made)
    return made


def _recode(node: onnx.NodeProto, stored: dict, fresh: dict[str, np.ndarray], M: int, N: int) -> None:
    names = {key: node.input[_SLOTS[key]] for key in _CHANGED}
    old = {key: stored[name] for key, name in names.items()}
    shape = attribute(node, "weight_shape")
    before = len(attribute(node, "weight_masks"))
    codes = bits.unpack_codes(old["W"], int(np.prod(shape))).astype(np.int64) * (M + 1) // before
    beta = old["beta"]
    new = {
        "W": bits.pack_codes(codes.astype(np.uint8).reshape(shape), bits.code_bits(M + 1)),
        "alpha": _spread(np.sort(old["alpha"], axis=1), M + 1),
        "v": _spread(np.sort(old["v"], axis=1), N),
        "beta": np.array([-1, 1]) * np.abs(beta).max() if (M, N) == (1, 1) else _spread(np.sort(beta)[None], N + 1)[0],
    }
    for key, name in names.items():
        node.input[_SLOTS[key]] = f"{name}//{M}x{N}"
        fresh[f"{name}//{M}x{N}"] = new[key].astype(old[key].dtype)
    for name, masks in (("weight_masks", bits.one_hot_masks(M)), ("level_masks", bits.one_hot_masks(N))):
        next(a for a in node.attribute if a.name == name).CopyFrom(helper.make_attribute(name, masks))


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """(R, n) -> (R, count): each row read at `count` evenly spaced positions; at its middle for one."""
    positions = np.linspace(0, rows.shape[1] - 1, count) if count > 1 else [(rows.shape[1] - 1) / 2]
    return np.stack([np.interp(positions, np.arange(rows.shape[1]), row) for row in rows])

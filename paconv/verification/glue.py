"""The graph around the PABitConvs, each of them replaced by the reference's own result.

Everything else of the optimized model must then give the reference's tensors, bit for bit. Real convolutions that took
something in are replaced too, and compared within their bound (paconv.verification.real_convs). Together with the check
of each layer on the reference's own input this is an induction: layers right and the graph between them right means the
whole is right, up to the layers' bounded rounding and counted flips.
"""

from __future__ import annotations

import numpy as np
import onnx

from paconv.verification.layers import Layer
from paconv.verification.model import OpenModel, run_model
from paconv.verification.real_convs import FoldedConv

__all__ = ["check_glue"]


def check_glue(
    reference: OpenModel,
    optimized: OpenModel,
    layers: list[Layer],
    convs: list[FoldedConv],
    feeds: dict,
    values: dict[str, np.ndarray],
) -> str | None:
    """The first tensor that differs, in words; None if all agree. values: the reference's tensors by name."""
    cut = onnx.ModelProto()
    cut.CopyFrom(optimized.model)
    names = {layer.Y for layer in layers} | {conv.Y for conv in convs}
    own = {conv.Y: f"{conv.Y}.own" for conv in convs}
    kept = [n for n in cut.graph.node if n.output[0] in own or not set(n.output) & names]
    for node in kept:
        node.output[0] = own.get(node.output[0], node.output[0])
    del cut.graph.node[:]
    cut.graph.node.extend(kept)
    del cut.graph.value_info[:]
    for name in sorted(names):
        cut.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, values[name].shape))
    outputs = [o for o in cut.graph.output if o.name not in names]  # an output that a PABitConv makes is fed
    del cut.graph.output[:]
    cut.graph.output.extend(outputs)
    read = [*(layer.X for layer in layers), *(conv.X for conv in convs)]
    wanted = [t for t in (*read, *(o.name for o in outputs)) if t not in names]
    if not wanted and not own:
        return None
    fed = feeds | {name: values[name] for name in names}
    found = run_model(cut, fed, [*wanted, *own.values()], label=optimized.label, plain=True)
    for conv in convs:
        if (difference := conv.difference(reference, values, found[own[conv.Y]])) is not None:
            return difference
    for name in _in_order(optimized, wanted):
        a, b = found[name], values[name]
        if a.shape != b.shape:
            return f"tensor '{name}': shape {a.shape} instead of {b.shape}"
        differs = ~((a == b) | (np.isnan(a) & np.isnan(b))) if np.issubdtype(a.dtype, np.floating) else a != b
        if differs.any():
            at = tuple(int(i) for i in np.argwhere(differs)[0])
            return f"tensor '{name}': {int(differs.sum())} values differ, first at {at}: {a[at]} instead of {b[at]}"
    return None


def _in_order(model: OpenModel, names: list[str]) -> list[str]:
    position = {name: k for k, node in enumerate(model.model.graph.node) for name in node.output}
    return sorted(dict.fromkeys(names), key=lambda name: position.get(name, -1))

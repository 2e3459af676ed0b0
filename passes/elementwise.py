"""Nodes that work on each element of (B, C, H, W) tensors, or put channels side by side, in any layout alike."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from paconv.passes.matching import is_op

__all__ = ["data_inputs"]


def data_inputs(node: gs.Node) -> list[int]:
    """Indexes of the tensors that a Relu, Clip, Add or channel-first Concat of channels combines; else none."""
    if is_op(node, "Relu", "Clip"):
        return [0]
    if is_op(node, "Add") or (is_op(node, "Concat") and node.attrs["axis"] in (1, -3)):
        return list(range(len(node.inputs)))
    return []

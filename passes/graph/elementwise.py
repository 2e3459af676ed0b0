"""Nodes that work on each element of (B, C, H, W) tensors, in any layout alike."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from paconv.passes.graph.matching import is_op

__all__ = ["data_inputs"]


def data_inputs(node: gs.Node) -> list[int]:
    """Indexes of the tensors that a Relu, Clip or Add combines; else none."""
    if is_op(node, "Relu", "Clip"):
        return [0]
    return list(range(len(node.inputs))) if is_op(node, "Add") else []

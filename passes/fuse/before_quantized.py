"""Real convolutions right before quantized ones."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from paconv.passes.fuse.layout import is_to_channel_last
from paconv.passes.graph.matching import ONE_TENSOR, is_op, is_paconv_op, readers

__all__ = ["is_before_quantized"]


def is_before_quantized(conv: gs.Node) -> bool:
    """Whether a quantized convolution reads the node's result, at once or over elementwise ops but additions."""
    return any(
        is_paconv_op(node, "PABitConv")
        or is_to_channel_last(node)
        or (is_op(node, *ONE_TENSOR, "Mul") and is_before_quantized(node))
        for node, _ in readers(conv.outputs[0])
    )

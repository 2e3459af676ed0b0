"""Where a convolution's windows lie: strides, pads and dilations with ONNX's defaults and auto_pad resolved."""

from __future__ import annotations

from dataclasses import replace

import onnx

from paconv.network.layers import CONV_TRANSPOSE, Layer
from paconv.onnx_file.graph_view import attribute
from paconv.onnx_file.same_pads import same_pads

__all__ = ["with_window_placement"]


def with_window_placement(node: onnx.NodeProto, layer: Layer) -> Layer:
    """`layer` with strides, pads and dilations of its convolution node."""
    kernel = layer.weight_shape[2:]
    axes = len(kernel)
    strides = tuple(attribute(node, "strides", [1] * axes))
    dilations = tuple(attribute(node, "dilations", [1] * axes))
    pads = tuple(attribute(node, "pads", [0] * 2 * axes))
    same = attribute(node, "auto_pad", b"NOTSET")
    if same in (b"SAME_UPPER", b"SAME_LOWER") and layer.kind != CONV_TRANSPOSE and layer.input_shape:
        sizes = zip(layer.input_shape[2:], kernel, strides, dilations, strict=True)
        pairs = [same_pads(same.decode(), size, k, s, d) for size, k, s, d in sizes]
        pads = tuple(pair[end] for end in (0, 1) for pair in pairs)
    return replace(layer, strides=strides, pads=pads, dilations=dilations)

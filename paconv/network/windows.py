"""Where a convolution's windows lie: strides, pads and dilations with ONNX's defaults and auto_pad resolved."""

from __future__ import annotations

from dataclasses import replace

import onnx

from paconv.network.layers import CONV_TRANSPOSE, Layer
from paconv.onnx_file.graph_view import attribute

__all__ = ["with_window_placement"]


def with_window_placement(node: onnx.NodeProto, layer: Layer) -> Layer:
    """`layer` with strides, pads and dilations of its convolution node.

    SAME_UPPER and SAME_LOWER pad to the output size that the layer has, an odd pixel at the end or at the begin:

        total = max(0, (output - 1) stride + dilation (kernel - 1) + 1 - input)
    """
    kernel = layer.weight_shape[2:]
    axes = len(kernel)
    strides = tuple(attribute(node, "strides", [1] * axes))
    dilations = tuple(attribute(node, "dilations", [1] * axes))
    pads = tuple(attribute(node, "pads", [0] * 2 * axes))
    same = attribute(node, "auto_pad", b"NOTSET")
    if same in (b"SAME_UPPER", b"SAME_LOWER") and layer.kind != CONV_TRANSPOSE and layer.input_shape:
        sizes = zip(layer.input_shape[2:], layer.output_shape[2:], strides, dilations, kernel, strict=True)
        totals = [max(0, (out - 1) * s + d * (k - 1) + 1 - size) for size, out, s, d, k in sizes]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = (*small, *large) if same == b"SAME_UPPER" else (*large, *small)
    return replace(layer, strides=strides, pads=pads, dilations=dilations)

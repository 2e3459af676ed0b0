"""What each layer of an ONNX model reads: the network's input, activations that a ReLU left, or signed ones.

a binary layer    signed if one of its activation levels is below 0
a real one        input where no layer stands before it; rectified where the graph leaves nothing negative (as
                  paconv.quantization.rectified sees it); else signed
"""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from paconv.bits import level_table
from paconv.network.extract import canonical_form
from paconv.network.products import PRODUCTS
from paconv.onnx_file.graph_view import GraphView, attribute, op_name
from paconv.ops import DOMAIN
from paconv.quantization.rectified import rectified_tensors

__all__ = ["INPUT", "RECTIFIED", "SIGNED", "readings"]

INPUT, RECTIFIED, SIGNED = "input", "rectified", "signed"

_BIT_CONV = f"{DOMAIN}.PABitConv"


def readings(model: onnx.ModelProto) -> dict[str, str]:
    """Name of each layer that multiplies, as paconv.network names it -> INPUT, RECTIFIED or SIGNED."""
    view = GraphView(canonical_form(model).graph)
    rectified = rectified_tensors(view)
    behind: set[str] = set()  # tensors that a layer stands before
    found = {}
    for node in view.nodes:
        op = op_name(node)
        data = view.dynamic_inputs(node)
        is_layer = op in PRODUCTS or op == _BIT_CONV
        if is_layer and data:
            if op == _BIT_CONV:
                beta = numpy_helper.to_array(view.stored[node.input[5]])
                signed = (level_table(beta, attribute(node, "level_masks")) < 0).any()
                found[view.label(node)] = SIGNED if signed else RECTIFIED
            elif data[0] in behind or op_name(view.producer.get(data[0], node)).startswith(f"{DOMAIN}."):
                found[view.label(node)] = RECTIFIED if data[0] in rectified else SIGNED
            else:
                found[view.label(node)] = INPUT
        if (is_layer and data) or any(name in behind for name in data):
            behind.update(node.output)
    return found

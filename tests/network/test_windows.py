"""Strides, pads and dilations of convolutions, as ONNX's defaults and auto_pad mean them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from paconv.network.extract import network


def layer_of(attributes: str, size: int = 8, kernel: int = 3):
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[1, 4, {size}, {size}] x) => (float[a, b, c, d] y) {{ y = Conv {attributes} (x, w) }}""")
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((4, 4, kernel, kernel), np.float32), "w"))
    return network(model).layers[0]


def test_defaults_are_no_padding_and_steps_of_one():
    layer = layer_of("")
    assert (layer.strides, layer.pads, layer.dilations) == ((1, 1), (0, 0, 0, 0), (1, 1))


def test_given_attributes_are_kept():
    layer = layer_of("<strides = [2, 1], pads = [1, 2, 3, 4], dilations = [1, 2]>")
    assert (layer.strides, layer.pads, layer.dilations) == ((2, 1), (1, 2, 3, 4), (1, 2))


@pytest.mark.parametrize(("how", "pads"), [("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (1, 1, 0, 0)),
                                           ("VALID", (0, 0, 0, 0))])  # fmt: skip
def test_auto_pad_is_resolved_to_pixels(how, pads):
    assert layer_of(f'<strides = [2, 2], auto_pad = "{how}">').pads == pads


def test_ops_that_are_not_counted_tell_the_data_they_move():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[1, 4, 8, 8] x) => (float[a, b, c, d] y) { r = Relu (x) y = Add (r, x) }""")
    assert [(op.op, op.elements) for op in network(model).data_ops] == [("Relu", 2 * 256), ("Add", 3 * 256)]

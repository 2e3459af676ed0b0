"""What a layer asks of a host's kernels, in the units that take time. Counted from shapes.

Bit planes (PABitConv), E endpoints, G groups, OB = ceil(O/G / LANES) blocks of LANES output channels:

    node               1                                        starting the kernel
    row_endpoint       B C H E                                  comparing a row with an endpoint
    element_endpoint   B C H LANES ceil(W / LANES) E            comparing its elements, a vector at a time
    word               outputs' * KH KW ceil(C/G / 32) * M N    AND + popcount + add of 32 bits in one lane
    output             outputs' = B OH OW G OB LANES            scaling, adding and storing M N counts

Level codes (PABitConv as well), in words of four bytes, CP = C/G rounded up to whole words:

    node               1
    element            B C H W                                  putting bytes into words, pixel by pixel
    element_endpoint   B C H W E                                comparing an element with an endpoint
    product            outputs' * KH KW CP                      multiplying two bytes and adding
    output             outputs'                                 scaling, adding and storing a dot product

Full precision (onnxruntime's Conv and Gemm):

    node               1
    mac_<class>        MACs; class: window, pointwise (1x1), shallow (fewer than 16 channels per group: the first
                       convolution), depthwise, linear
    element            elements read and written: reordering to onnxruntime's blocks of channels and back
    weight             a convolution's weights, read once per call

Anything else: elements read and written.
"""

from __future__ import annotations

from math import prod

from paconv.bits import WORD_BITS
from paconv.grid import largest_integers
from paconv.kernels.arguments import LANES
from paconv.network.layers import CONV, LINEAR, DataOp, Layer

__all__ = ["CODE_UNITS", "FLOAT_UNITS", "GATHER_UNITS", "PLANE_UNITS", "bit_work", "code_work", "elements_moved",
           "filling", "float_work", "runs_as_codes", "runs_as_planes"]  # fmt: skip

GATHER_UNITS = ("node", "row_endpoint", "element_endpoint")
"""Units of bit planes whose time doesn't depend on M and N."""

PLANE_UNITS = ("word", "output")
"""Units of bit planes whose time is each (M, N)'s own."""

CODE_UNITS = ("node", "element", "element_endpoint", "product", "output")
"""Units of level codes; their times are the same for every (M, N)."""

FLOAT_UNITS = (
    "node", "mac_window", "mac_pointwise", "mac_shallow", "mac_depthwise", "mac_linear", "element", "weight",
)  # fmt: skip

_CHANNELS_OF_WORD = 4
"""Level codes in a word of 32 bits."""

_SHALLOW = 16
"""onnxruntime's blocked convolution takes this many channels at a time."""

_NO_WORK = {"Flatten", "Identity", "Reshape", "Shape", "Squeeze", "Unsqueeze", "Dropout"}

_FUSED = {"Add", "Clip", "LeakyRelu", "Relu"}
"""onnxruntime does these within a Conv of its own, but not within PABitConv."""


def bit_work(layer: Layer, M: int, N: int) -> dict[str, float]:
    """Units of work of a layer that PABitConv can run, with PA's M and N planes."""
    batch, channels, rows, width = layer.input_shape
    _, depth, *kernel = layer.weight_shape
    outputs = _padded_outputs(layer)
    words = kernel[0] * kernel[1] * -(-depth // WORD_BITS)
    compared = batch * channels * rows * N
    return {
        "node": 1,
        "row_endpoint": compared,
        "element_endpoint": compared * _up(width, LANES),
        "word": outputs * words * M * N,
        "output": outputs,
    }


def code_work(layer: Layer, N: int) -> dict[str, float]:
    """Units of work of a layer that PABitConv can run, on level codes of activations with N endpoints."""
    _, depth, *kernel = layer.weight_shape
    outputs = _padded_outputs(layer)
    return {
        "node": 1,
        "element": layer.inputs,
        "element_endpoint": layer.inputs * N,
        "product": outputs * prod(kernel) * _up(depth, _CHANNELS_OF_WORD),
        "output": outputs,
    }


def filling(layer: Layer) -> float:
    """How much of the lanes and of the words of level codes a layer's channels fill, up to 1."""
    depth = layer.weight_shape[1]
    return layer.outputs / _padded_outputs(layer) * depth / _up(depth, _CHANNELS_OF_WORD)


def runs_as_codes(layer: Layer, N: int) -> bool:
    """Whether PABitConv can run the layer on level codes, with levels on the default grid: sums must fit 32 bits."""
    A, B = largest_integers(N)
    return runs_as_planes(layer) and layer.window * A * B < 1 << 31


def runs_as_planes(layer: Layer) -> bool:
    """Whether PABitConv can run the layer: a convolution over two axes."""
    return layer.kind == CONV and len(layer.weight_shape) == 4


def float_work(layer: Layer) -> dict[str, float]:
    """Units of work of a convolution or linear layer in full precision."""
    if layer.kind == LINEAR:
        return {"node": 1, "mac_linear": layer.macs}
    return {
        "node": 1,
        f"mac_{_class(layer)}": layer.macs,
        "element": layer.inputs + layer.outputs,
        "weight": prod(layer.weight_shape),
    }


def elements_moved(op: DataOp, beside_float: bool) -> int | None:
    """Elements that an op reads and writes; 0 where it costs nothing, None if unknown.

    beside_float: the convolutions around it are onnxruntime's own.
    """
    return 0 if op.op in _NO_WORK or (beside_float and op.op in _FUSED) else op.elements


def _class(layer: Layer) -> str:
    if layer.is_depthwise:
        return "depthwise"
    if layer.weight_shape[1] < _SHALLOW:
        return "shallow"
    return "pointwise" if all(k == 1 for k in layer.weight_shape[2:]) else "window"


def _padded_outputs(layer: Layer) -> int:
    """outputs': elements of the output, each group's channels rounded up to whole vectors."""
    out = layer.weight_shape[0]
    return layer.outputs // out * _up(out // layer.group, LANES) * layer.group


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple

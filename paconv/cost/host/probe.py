"""One-node models of a layer, as the kernels of this host would run it: what calibration and comparison time.

Weights and inputs are random (seeded) and of the right shapes; their values don't change the time. Levels lie on the
default grid, so that level codes can run.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from paconv import bits, ops
from paconv.grid import largest_integers, nearest_grid
from paconv.network.layers import CONV, LINEAR, Layer

__all__ = ["Probe", "addition", "bit_conv", "conv", "float_layer", "integer_conv", "levels", "nothing"]

_SEED = 0


class Probe(NamedTuple):
    """What is timed: a model, and the kernel of its PABitConv (a name in CHOICES), None for a model without one."""

    model: onnx.ModelProto
    kernel: str | None = None


def conv(channels: int, out: int, size: int, kernel: int = 3, stride: int = 1, group: int = 1) -> Layer:
    """A square layer of batch 1 with padding that keeps the size, stride aside, and a name that says so."""
    pad = kernel // 2
    small = (size + 2 * pad - kernel) // stride + 1
    return Layer(
        f"{channels} to {out}, {kernel}x{kernel}/{stride} at {size}",
        CONV,
        (out, channels // group, kernel, kernel),
        (1, channels, size, size),
        (1, out, small, small),
        group=group,
        strides=(stride, stride),
        pads=(pad,) * 4,
        dilations=(1, 1),
    )


def float_layer(layer: Layer) -> onnx.ModelProto:
    """The layer in full precision: Conv or Gemm of one input X."""
    rng = np.random.default_rng(_SEED)
    weight = rng.standard_normal(layer.weight_shape, np.float32)
    bias = np.zeros(layer.weight_shape[0], np.float32)
    if layer.kind == LINEAR:
        rows = prod(layer.input_shape[:-1])
        node = helper.make_node("Gemm", ["X", "W", "bias"], ["Y"], transB=1)
        return _model(node, (rows, layer.weight_shape[1]), {"W": weight, "bias": bias})
    op = "Conv" if layer.kind == CONV else "ConvTranspose"
    inputs = {"W": weight, "bias": bias} if layer.kind == CONV else {"W": weight}
    node = helper.make_node(op, ["X", *inputs], ["Y"], group=layer.group, **_window(layer))
    return _model(node, layer.input_shape, inputs)


def levels(M: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """alpha (M+1,) and beta (N+1,) float32 as training and snapping leave them, seeded.

    Integers of the default grid that are not evenly spaced, alpha_0 = beta_0 = 0.
    """
    rng = np.random.default_rng(_SEED)
    alpha = (0.2 + rng.random(M)) * (-1.0) ** np.arange(M)
    beta = np.sort(0.2 + rng.random(N))
    A, B = (
        np.append(0, nearest_grid(values, most).integers).astype(np.float32)
        for values, most in zip((alpha, beta), largest_integers(N), strict=True)
    )
    return A, B


def bit_conv(
    layer: Layer, M: int, N: int, alpha: np.ndarray | None = None, beta: np.ndarray | None = None
) -> onnx.ModelProto:
    """The convolution as PABitConv with PA's disjoint planes.

    Endpoints are per channel, as a folded batch norm leaves them. alpha (M+1,), beta (N+1,): the levels, those of
    `levels` if not given.
    """
    rng = np.random.default_rng(_SEED)
    out, channels = layer.weight_shape[0], layer.input_shape[1]
    codes = rng.integers(0, M + 1, layer.weight_shape, dtype=np.uint8)
    usual_alpha, usual_beta = levels(M, N)
    inputs = {
        "W": bits.pack_codes(codes, bits.code_bits(M + 1)),
        "alpha": (usual_alpha if alpha is None else alpha).astype(np.float32)[None],
        "v": np.sort(rng.standard_normal((channels, N), np.float32), axis=1),
        "sign": np.ones(channels, np.int8),
        "beta": (usual_beta if beta is None else beta).astype(np.float32),
        "scale": np.ones(out, np.float32),
        "bias": np.zeros(out, np.float32),
    }
    node = helper.make_node(
        "PABitConv", ["X", *inputs], ["Y"], domain=ops.DOMAIN, weight_shape=list(layer.weight_shape),
        weight_masks=bits.one_hot_masks(M), level_masks=bits.one_hot_masks(N), group=layer.group,
        version=ops.OPSET_VERSION, **_window(layer),
    )  # fmt: skip
    model = _model(node, layer.input_shape, inputs)
    ops.add_functions(model)
    return model


_Q_INPUTS = ("x_scale", "x_zero", "W", "w_scale", "w_zero", "y_scale", "y_zero")
"""QLinearConv's, after X."""


def integer_conv(layer: Layer, given: Mapping[str, np.ndarray] | None = None) -> onnx.ModelProto:
    """The convolution as onnxruntime's own 8-bit QLinearConv, quantized on both sides already.

    given: its inputs after X; random weights and unsigned activations if they aren't.
    """
    inputs = _random_integers(layer) if given is None else given
    node = helper.make_node("QLinearConv", ["X", *_Q_INPUTS], ["Y"], group=layer.group, **_window(layer))
    dtype = helper.np_dtype_to_tensor_dtype(inputs["x_zero"].dtype)
    return _model(node, layer.input_shape, {name: inputs[name] for name in _Q_INPUTS}, dtype)


def _random_integers(layer: Layer) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(_SEED)
    scales = {name: np.array(value, np.float32) for name, value in (("x_scale", 1), ("w_scale", 1), ("y_scale", 4096))}
    zeros = {"x_zero": np.array(0, np.uint8), "w_zero": np.array(0, np.int8), "y_zero": np.array(0, np.uint8)}
    return scales | zeros | {"W": rng.integers(-128, 128, layer.weight_shape, dtype=np.int8)}


def addition(shape: tuple[int, ...]) -> onnx.ModelProto:
    """X + X of this shape: as bound by memory as an elementwise operation is."""
    return _model(helper.make_node("Add", ["X", "X"], ["Y"]), shape, {})


def nothing() -> onnx.ModelProto:
    """One addition of one element: the time of a call without any work."""
    return addition((1,))


def _window(layer: Layer) -> dict[str, Any]:
    return {"strides": list(layer.strides), "pads": list(layer.pads), "dilations": list(layer.dilations)}


def _model(
    node: onnx.NodeProto, shape: tuple[int, ...], inputs: Mapping[str, np.ndarray], dtype: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node],
        "one_node",
        [helper.make_tensor_value_info("X", dtype, shape)],
        [helper.make_tensor_value_info("Y", dtype, None)],
        [numpy_helper.from_array(value, name) for name, value in inputs.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

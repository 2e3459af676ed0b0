"""One convolution as onnxruntime's QLinearConv in an 8-bit form, made from the float one, and how far it is off that.

    x ~ s_x (q_x - z_x)        w[o] ~ s_w[o] q_w[o]        y ~ s_y (q_y - z_y)

s_w: so that the largest |q_w[o]| is the form's; s_x, z_x, s_y, z_y: from the least and the largest x and y, 0 included,
as onnxruntime's calibration takes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.bench.int8_form import Form
from paconv.bench.output_error import OutputError, output_error
from paconv.cost.host.probe import float_layer, integer_conv
from paconv.measure.turns import Feed, Timed
from paconv.network.layers import Layer

__all__ = ["IntegerLayer", "integer_layer"]

_SEED = 0


@dataclass(frozen=True)
class IntegerLayer:
    """A convolution with 8-bit integers."""

    model: onnx.ModelProto
    """One QLinearConv."""
    feed: Feed
    """Its input, as Timed takes it."""
    error: OutputError
    """Of its output against the float layer's on that input."""


def integer_layer(layer: Layer, form: Form) -> IntegerLayer:
    """The convolution with the weights of `float_layer`, its scales from a standard normal input."""
    real = float_layer(layer)
    weight = next(numpy_helper.to_array(i) for i in real.graph.initializer if i.name == "W")
    x = np.random.default_rng(_SEED).standard_normal(layer.input_shape, np.float32)
    (y,) = Timed(real, 1, feed=lambda inputs: {"X": x}, library=False).outputs()
    w_scale = np.abs(weight).max(axis=(1, 2, 3)) / form.largest
    (x_scale, x_zero), (y_scale, y_zero) = _scale(x, form.activations), _scale(y, form.activations)
    model = integer_conv(layer, {
        "x_scale": x_scale, "x_zero": x_zero, "y_scale": y_scale, "y_zero": y_zero,
        "W": np.rint(weight / w_scale[:, None, None, None]).astype(form.weights),
        "w_scale": w_scale, "w_zero": np.zeros(len(w_scale), form.weights),
    })  # fmt: skip
    codes = _codes(x, x_scale, x_zero)
    (found,) = Timed(model, 1, feed=lambda inputs: {"X": codes}, library=False).outputs()
    error = output_error([y], [(found.astype(np.float32) - y_zero.astype(np.float32)) * y_scale])
    assert error is not None
    return IntegerLayer(model, lambda inputs: {"X": codes}, error)


def _scale(values: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """(scale float32, zero point of `dtype`), scalars."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    kind = np.iinfo(dtype)
    scale = np.float32((high - low) / (kind.max - kind.min))
    return np.array(scale), np.array(np.rint(kind.min - low / scale), dtype)


def _codes(values: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    kind = np.iinfo(zero.dtype)
    return np.clip(np.rint(values / scale) + zero, kind.min, kind.max).astype(zero.dtype)

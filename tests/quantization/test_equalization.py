"""Channels of different widths behind one step function."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import paconv
from paconv.quantization.activation_levels import LevelChoice, fit_levels
from paconv.quantization.channels import Channels, channel_means
from paconv.quantization.equalization import equalized_levels
from tests.quantization.networks import images, residual_network

WIDTHS = 2.0 ** np.random.default_rng(5).integers(-5, 6, 16)


def uneven_network() -> onnx.ModelProto:
    """The function of residual_network(), the channels between "depth" and "group" being WIDTHS times as wide."""
    model = residual_network()
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, factor in (("depth_w", WIDTHS), ("group_w", 1 / WIDTHS.reshape(2, 8).repeat(12, 0))):
        value = numpy_helper.to_array(tensors[name])
        factor = factor.reshape(*factor.shape, *[1] * (value.ndim - factor.ndim))
        tensors[name].CopyFrom(numpy_helper.from_array((value * factor).astype(np.float32), name))
    return model


@pytest.mark.parametrize("planes", [(4, 5), (8, 7)])
def test_channels_of_many_widths_lose_about_what_alike_ones_lose(planes):
    x = images(128)
    even, alike, as_they_are = (
        next(layer.error for layer in paconv.quantize(model, x, *planes, by_channel=by).layers if layer.name == "group")
        for model, by in ((residual_network(), True), (uneven_network(), True), (uneven_network(), False))
    )
    assert alike < 1.3 * even and alike < 0.6 * as_they_are


def test_only_widths_that_differ_are_changed_and_by_powers_of_two():
    r = np.random.default_rng(0)
    even = np.maximum(r.standard_normal((16, 16, 8, 8)), 0).astype(np.float32)
    weight = r.standard_normal((12, 8, 3, 3)).astype(np.float32)
    options = {"signed": False, "shift": None, "seed": 0}
    assert not equalized_levels([even], [(weight, 4)], LevelChoice(5, 31), **options).channels.changed

    uneven = (even * WIDTHS.reshape(-1, 1, 1)).astype(np.float32)
    divided = (weight.reshape(2, 6, 8, 3, 3) / WIDTHS.reshape(2, 1, 8, 1, 1)).reshape(weight.shape).astype(np.float32)
    found = equalized_levels([uneven], [(divided, 4)], LevelChoice(5, 31), **options)
    stretch = found.channels.stretch
    assert stretch is not None and np.array_equal(np.frexp(stretch)[0], np.full_like(stretch, 0.5))
    assert np.ptp(np.log2(stretch.reshape(-1) * WIDTHS)) <= 1  # as wide as each other, but for rounding
    again = found.channels.weights(divided).reshape(2, 6, 8, 3, 3) * stretch.reshape(2, 1, 8, 1, 1)
    assert np.array_equal(again.reshape(divided.shape), divided)


def test_a_channel_of_zeros_and_values_that_are_not_finite_do_no_harm():
    x = np.random.default_rng(1).standard_normal((8, 4, 6, 6)).astype(np.float32)
    x[:, 1], x[0, 2, 0, 0], x[1, 3, 1, 1] = 0, np.inf, np.nan
    weight = np.random.default_rng(2).standard_normal((5, 4, 1, 1)).astype(np.float32)
    found = equalized_levels(
        [x[:4], x[4:]], [(weight, 8)], LevelChoice(7, 31), signed=True, shift=channel_means([x]), seed=0
    )
    assert np.isfinite(found.v).all() and np.isfinite(found.table).all()


def test_a_stretch_moves_the_endpoints_of_its_channel():
    x = np.random.default_rng(3).standard_normal((8, 2, 9, 9)).astype(np.float32)
    stretch = np.array([0.25, 8], np.float32).reshape(1, 2, 1, 1)
    levels = fit_levels([x], LevelChoice(5, 31), signed=True, channels=Channels(None, stretch), seed=0)
    endpoints = levels.v / stretch.reshape(2, 1)
    for channel in range(2):
        assert np.array_equal(levels.index(x)[:, channel], np.searchsorted(endpoints[channel], x[:, channel], "right"))


def test_stretched_channels_are_optimized_as_others_and_give_the_same_bits(tmp_path):
    for name, model in (("even", residual_network()), ("uneven", uneven_network())):
        paconv.quantize(model, images(64), output=tmp_path / f"{name}.onnx")
        paconv.optimize(tmp_path / f"{name}.onnx", tmp_path / f"{name}_pa.onnx")
    quantized, optimized = (onnx.load(tmp_path / f"uneven{end}.onnx") for end in ("", "_pa"))
    assert any(node.name.endswith(".stretch") for node in quantized.graph.node)
    assert paconv.verify(tmp_path / "uneven.onnx", tmp_path / "uneven_pa.onnx").ok
    even = onnx.load(tmp_path / "even_pa.onnx")
    assert [node.op_type for node in optimized.graph.node] == [node.op_type for node in even.graph.node]

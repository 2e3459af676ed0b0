"""The one-node models run, have the layer's shape and kernel, and are timed. Nothing is asserted about speed."""

from __future__ import annotations

import pytest
from onnx import helper

from paconv.cost.host import probe
from paconv.cost.host.kernels import BIT_PLANES, LEVEL_CODES
from paconv.errors import ModelError
from paconv.measure.turns import Timed, best_times
from paconv.network.extract import network
from paconv.network.layers import CONV_TRANSPOSE, LINEAR, Layer
from paconv.runtime.inspection import node_kernels
from tests.cost.host.synthetic import conv


def geometry(layer: Layer) -> tuple:
    return (layer.weight_shape, layer.input_shape, layer.output_shape, layer.group, layer.strides, layer.pads,
            layer.dilations)  # fmt: skip


@pytest.mark.parametrize(
    "layer", [conv(8, 16, 9), conv(8, 16, 9, stride=2), conv(8, 8, 5, kernel=1), conv(8, 8, 6, group=8)]
)
def test_a_probe_is_the_layer_it_was_made_for(layer):
    for model in (probe.float_layer(layer), probe.bit_conv(layer, 2, 1)):
        found = network(model).layers[0]
        assert geometry(found) == geometry(layer)
    assert (found.planes.M, found.planes.N) == (2, 1)


def test_a_linear_probe_multiplies_every_row():
    (found,) = network(probe.float_layer(Layer("fc", LINEAR, (7, 5), (2, 3, 5), (2, 3, 7)))).layers
    assert (found.weight_shape, found.macs) == ((7, 5), 6 * 35)


def test_levels_are_not_evenly_spaced_and_have_zero_among_them():
    for M, N in ((2, 2), (4, 5), (8, 7)):
        alpha, beta = probe.levels(M, N)
        assert (alpha.shape, beta.shape, alpha[0], beta[0]) == ((M + 1,), (N + 1,), 0, 0)
        for values in (alpha, beta):
            steps = sorted(values)
            gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
            assert min(gaps) > 0 and max(gaps) > 1.01 * min(gaps)


@pytest.mark.parametrize("pair", [(1, 3), (3, 1), (2, 2), (4, 5), (8, 8)])
def test_a_probe_of_either_kernel_runs_that_kernel(pair):
    layer = conv(8, 16, 5, planes=pair)
    for kernel, ran in ((BIT_PLANES, "planes"), (LEVEL_CODES, "codes")):
        model, choice = kernel.probe(layer)
        (node,) = node_kernels(model.SerializeToString(), choice)
        assert node.kernel == ran


def test_every_kind_of_probe_runs_and_has_a_time():
    layer = conv(8, 16, 9, stride=2)
    up = Layer("up", CONV_TRANSPOSE, (4, 3, 2, 2), (1, 4, 5, 5), (1, 3, 6, 6), strides=(1, 1), pads=(0,) * 4,
               dilations=(1, 1))  # fmt: skip
    models = [
        probe.float_layer(layer), probe.float_layer(up), probe.float_layer(Layer("fc", LINEAR, (7, 5), (1, 5), (1, 7))),
        probe.bit_conv(layer, 1, 1), probe.integer_conv(layer), probe.addition((1, 4, 3, 3)), probe.nothing(),
    ]  # fmt: skip
    times = best_times([Timed(model, threads=1) for model in models], seconds=0.0)
    assert len(times) == len(models) and all(0 < time < float("inf") for time in times)


def test_a_model_that_onnxruntime_refuses_is_a_clear_error():
    model = probe.addition((1, 2))
    model.graph.node[0].CopyFrom(helper.make_node("NoSuchOp", ["X"], ["Y"]))
    with pytest.raises(ModelError, match="onnxruntime can't run the model"):
        Timed(model, threads=1)

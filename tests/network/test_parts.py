"""SYQ's kernels, exported pixel by pixel, cost what the layers cost that they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import paconv
from paconv.cost import count, network, under_scheme
from paconv.nn import calibrate
from paconv.onnx_file.loading import load_model


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(),
        nn.Conv2d(4, 6, (3, 2), padding=(1, 0), stride=2), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=2, dilation=2, groups=1), nn.ReLU(),
        nn.Conv2d(5, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 5, 3),
    )  # fmt: skip


def wanted(found):
    return [(layer.weight_shape, layer.output_shape, layer.strides, layer.dilations, layer.bias)
            for layer in found if layer.is_convolution]  # fmt: skip


@pytest.mark.parametrize("scaling", ["pixel", "row", "layer"])
def test_the_same_network_costs_the_same_by_its_scheme_and_by_its_files(tmp_path, scaling):
    model = net()
    exported = paconv.export(model, tmp_path / "float.onnx", input_shape=(3, 12, 10)).path
    by_scheme = under_scheme(network(load_model(exported)), "syq")
    converted = paconv.convert(model, scheme="syq", scaling=scaling)
    calibrate(converted, [torch.randn(2, 3, 12, 10)])
    paconv.export(converted, tmp_path / "model.onnx", input_shape=(3, 12, 10))
    for fuse in (None, False, True):
        path = tmp_path / "model.onnx"
        if fuse is not None:
            paconv.optimize(tmp_path / "model.onnx", path := tmp_path / "pa.onnx", fuse=fuse)
        found = network(load_model(path))
        assert wanted(found) == wanted(by_scheme)
        if fuse is not None:  # before, pads may be nodes of their own
            assert [layer.pads for layer in found] == [layer.pads for layer in by_scheme]
        expected, totals = count(by_scheme).totals, count(found).totals
        assert (totals.flops, totals.macs, totals.binary_weights) == (
            expected.flops, expected.macs, expected.binary_weights
        )  # fmt: skip
        assert totals.real_parameters == expected.real_parameters

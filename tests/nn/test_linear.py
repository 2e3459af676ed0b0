"""Linear layers as 1x1 convolutions, and which share of a network is converted."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import paconv
from paconv.cost import count
from paconv.cost.source import network_of_module
from paconv.errors import CheckpointError, UsageError
from paconv.nn import PAConv2d, calibrate, conversion_report, convert, convert_from_config
from paconv.nn.layers import PALinear
from tests.nn.networks import FunctionalResNet


def small_vgg() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(8 * 4 * 4, 32), nn.ReLU(), nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 5)),
    ).eval()


def vgg16() -> nn.Sequential:
    """Without values: 13 convolutions and 3 linear layers for images of 224x224."""
    layers, channels = [], 3
    with torch.device("meta"):
        for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        sizes = (512 * 7 * 7, 4096, 4096, 1000)
        classifier = [layer for i, o in zip(sizes, sizes[1:], strict=False) for layer in (nn.Linear(i, o), nn.ReLU())]
        return nn.Sequential(*layers, nn.Flatten(), *classifier[:-1])


def test_linear_layers_become_1x1_convolutions_but_for_the_head():
    model = convert(small_vgg(), 4, 5, linear="pa")
    assert list(model.paconv_conversion["plan"]) == ["2", "6", "8"]
    assert isinstance(model[6], PALinear) and isinstance(model[10], nn.Linear)
    report = conversion_report(model)
    assert "6   128->32, 1x1; reads what a ReLU left" in str(report)
    assert model[8].activation.signed is False and report.kept[-1].code == "last-layer"
    everything = convert(small_vgg(), 4, 5, linear="pa", last="pa")
    assert everything[10].activation.signed is True  # behind the tanh
    (kept,) = [k for k in conversion_report(convert(small_vgg(), 4, 5)).kept if k.name == "6"]
    assert (kept.code, kept.reason) == ("linear", "linear layers stay real (linear='pa' converts them)")


@pytest.mark.parametrize("shape", [(7, 6), (2, 5, 6), (6,)])
def test_a_linear_layer_computes_the_same_on_any_leading_dimensions(shape):
    linear = nn.Linear(6, 4)
    model = convert(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), linear, nn.ReLU(), nn.Linear(4, 2)), 4, None, linear="pa")
    converted = model[2]
    assert converted.bias is not None and isinstance(converted, PAConv2d)
    converted.weight_quantizer = nn.Identity()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(converted(x), linear(x), rtol=0, atol=1e-6)  # sums of 7 products of about 1 in float32


def test_the_configuration_rebuilds_linear_layers_and_an_older_one_has_none():
    model = convert(small_vgg(), 4, 5, linear="pa")
    config = json.loads(json.dumps(model.paconv_conversion))
    again = convert_from_config(small_vgg(), config)
    again.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(again.eval()(x), model.eval()(x)) and repr(again) == repr(model)
    del config["linear"]
    with pytest.raises(CheckpointError, match="converts 6, but there it is Linear: linear layers stay"):
        convert_from_config(small_vgg(), config)


def test_linear_layers_are_exported_optimized_and_run_as_in_torch(tmp_path):
    model, x = convert(small_vgg(), 4, 5, linear="pa"), torch.randn(8, 3, 8, 8)
    calibrate(model, [x])
    paconv.export(model, tmp_path / "model.onnx", (3, 8, 8))
    paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    nodes = [n.op_type for n in onnx.load(tmp_path / "pa.onnx").graph.node]
    assert sum(op in ("PABitConv", "PALevelConv") for op in nodes) == 3
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok
    paconv.nn.snap_(model)
    expected = model.eval()(x).detach().numpy()
    found = paconv.InferenceSession(tmp_path / "pa.onnx").run(None, {"input": x.numpy()})[0]
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()  # float32's rounding, a few layers


@pytest.mark.parametrize("scheme", ["xnor", "groupnet_layerwise", "syq"])
def test_a_scheme_with_another_kind_of_convolution_has_no_linear_layers(scheme):
    with pytest.raises(UsageError, match="has no linear layers"):
        convert(small_vgg(), scheme=scheme, linear=scheme)


def test_of_vgg16_a_tenth_of_the_parameters_is_converted_and_with_linear_layers_nearly_all():
    share = conversion_report(convert(vgg16(), 4, 5)).share()
    assert (share.parameters, share.weights) == (138_357_544, 14_710_464 - 1728)
    assert share.macs is None and round(share.float_bytes / 1e6) == 553 and round(share.file_bytes / 1e6) == 500
    assert str(share) == "10.6 % of parameters; the file will weigh about 500 MB, 553 MB in float"
    with_linear = conversion_report(convert(vgg16(), 4, 5, linear="pa")).share()
    assert with_linear.weights == share.weights + 25088 * 4096 + 4096 * 4096
    assert round(with_linear.file_bytes / 1e6) == 67


def test_the_share_of_macs_is_known_where_the_input_is():
    model = convert(FunctionalResNet(), 4, 5)
    report = conversion_report(model)
    assert report.share().macs is None
    share = report.share((3, 16, 16))
    network = count(network_of_module(model, (3, 16, 16))).totals
    assert (share.all_macs, share.macs) == (network.macs, network.macs - network.real_macs)
    assert share.weights == network.binary_weights and share.weight_bits == 3
    given = convert(FunctionalResNet(), 4, 5, input_shape=(3, 16, 16))
    assert conversion_report(given).as_data()["share"] == share.as_data()
    assert f"  {share}\n" in str(conversion_report(given)) and " % of MACs, " in str(share)


@pytest.mark.parametrize(
    "scheme, keep", [("groupnet_layerwise", "block2.shortcut"), ("xnor", "block2.shortcut"), ("syq", ())]
)
def test_the_share_of_a_layer_of_several_convolutions_counts_it_once(scheme, keep):
    share = conversion_report(convert(FunctionalResNet(), scheme=scheme)).share((3, 16, 16))
    expected = conversion_report(convert(FunctionalResNet(), 4, 5, keep=keep)).share((3, 16, 16))
    assert (share.weights, share.macs, share.all_macs) == (expected.weights, expected.macs, expected.all_macs)
    assert share.parameters == expected.parameters

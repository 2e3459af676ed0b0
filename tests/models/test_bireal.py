"""ResNets in the layout of Bi-Real Net."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import paconv
from paconv import models
from paconv.errors import UsageError
from paconv.models.bireal import BiRealBlock, BiRealResNet
from paconv.nn import conversion_report
from paconv.nn.calibrate import settle_batch_norm


@pytest.mark.parametrize("name, blocks", [("bireal18", 16), ("bireal34", 32)])
def test_every_3x3_convolution_is_converted_and_downsamples_stay_real(name, blocks):
    with torch.device("meta"):
        model = models.build(name, M=4, N=5)
    report = conversion_report(model)
    assert [conv.shape.split(", ")[1] for conv in report.converted] == ["3x3"] * blocks
    downsamples = [f"layer{k}.0.downsample.1" for k in (2, 3, 4)]
    assert [layer.name for layer in report.kept] == ["conv1", *downsamples, "fc"]


def test_a_shortcut_goes_around_every_3x3_convolution():
    torch.manual_seed(0)
    model = models.bireal18().eval()
    x = torch.randn(2, 64, 6, 6)
    block = model.layer1[1]
    assert torch.equal(block(x), block.bn(block.conv(F.relu(x))) + x)
    for module in model.modules():
        if isinstance(module, BiRealBlock):
            torch.nn.init.zeros_(module.bn.weight)
    assert torch.equal(model.layer1(x), x)


def test_the_shortcut_of_a_smaller_map_is_the_mean_of_2x2_windows_and_a_real_convolution():
    block = models.bireal18().layer2[0].eval()
    x = torch.arange(64 * 5 * 6).reshape(1, 64, 5, 6) / 4  # means of two and of four are exact
    pooled = block.downsample[0](x)
    assert pooled.shape == (1, 64, 3, 3) and block(x).shape == (1, 128, 3, 3)
    assert torch.equal(pooled[..., 0, 1], x[..., 0:2, 2:4].mean((2, 3)))
    assert torch.equal(pooled[..., 2, 1], x[..., 4, 2:4].mean(2))  # the last window of an odd size has what there is
    assert [type(module) for module in block.downsample[1:]] == [nn.Conv2d, nn.BatchNorm2d]


def test_the_activation_of_the_float_network_can_be_a_clip():
    model = models.bireal18(activation="clip")
    assert torch.equal(model.layer1[0].act(torch.tensor([-3.0, -0.5, 2.0])), torch.tensor([-1.0, -0.5, 1.0]))
    with pytest.raises(UsageError, match="activation must be 'relu' or 'clip'; found 'sign'"):
        models.bireal18(activation="sign")


@pytest.mark.parametrize("activation, folded", [(nn.ReLU, ("relu", "bn-after")), (nn.Hardtanh, ("bn-after",))])
def test_it_goes_through_export_optimize_and_verify(tmp_path, activation, folded):
    torch.manual_seed(0)
    model = paconv.convert(BiRealResNet((1, 1, 1, 1), 5, activation), M=4, N=5, keep="*.downsample")
    settle_batch_norm(model, [torch.randn(4, 3, 72, 40)])
    paconv.export(model, tmp_path / "model.onnx", (3, 72, 40))
    result = paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    lines = [line for line in result.report.convs if line.form != "real"]
    assert [line.folded for line in lines] == [(*folded, "residual")] * 4
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok

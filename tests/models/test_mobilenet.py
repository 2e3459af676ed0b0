"""MobileNet 1.0-224."""

from __future__ import annotations

import torch

import paconv
from paconv import models
from paconv.models.mobilenet import MobileNet
from paconv.nn import conversion_report
from paconv.nn.calibrate import settle_batch_norm


def test_with_the_statistics_of_batch_norms_it_has_tensorflows_number_of_parameters():
    with torch.device("meta"):
        state = models.mobilenet_v1().state_dict()
    assert sum(t.numel() for name, t in state.items() if not name.endswith("num_batches_tracked")) == 4_253_864


def test_pointwise_convolutions_are_converted_and_depthwise_ones_stay_real():
    with torch.device("meta"):
        report = conversion_report(models.mobilenet_v1(M=8, N=7))
    assert [conv.name for conv in report.converted] == [f"layers.{k}.pointwise" for k in range(13)]
    kept = {layer.name: layer.code for layer in report.kept}
    assert kept == {"conv1": "first-layer", "fc": "linear", **{f"layers.{k}.depthwise": "depthwise" for k in range(13)}}


def test_the_maps_have_the_published_sizes():
    with torch.device("meta"):
        model = models.mobilenet_v1()
        x, sizes = model.conv1(torch.empty(1, 3, 224, 224)), []
        for layer in model.layers:
            sizes.append((x.shape[1], x.shape[2]))
            x = layer(x)
    assert sizes == [(32, 112), (64, 112), (128, 56), (128, 56), (256, 28), (256, 28), *[(512, 14)] * 6, (1024, 7)]
    assert x.shape == (1, 1024, 7, 7)


def test_it_goes_through_export_optimize_and_verify(tmp_path):
    torch.manual_seed(0)
    model = paconv.convert(MobileNet(((64, 1), (128, 2), (128, 1)), 5), M=4, N=5)
    settle_batch_norm(model, [torch.randn(4, 3, 32, 32)])
    paconv.export(model, tmp_path / "model.onnx", (3, 32, 32))
    result = paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    lines = [line for line in result.report.convs if line.form != "real"]
    assert [(line.form, line.folded) for line in lines] == [("bit-conv", ("relu", "bn-before", "bn-after", "clip"))] * 3
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok

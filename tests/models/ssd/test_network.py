"""SSD300 on ResNet50: maps, outputs, what is approximated, and the extras through the whole way."""

from __future__ import annotations

import pytest
import torch

import paconv
from paconv import models
from paconv.errors import UsageError
from paconv.models.ssd.backbone import Backbone
from paconv.models.ssd.extras import ExtraBlock
from paconv.models.ssd.network import SSD300
from paconv.nn import conversion_report
from paconv.nn.calibrate import settle_batch_norm


@pytest.fixture(scope="module")
def meta() -> SSD300:
    with torch.device("meta"):
        return models.ssd300()


def test_it_gives_8732_boxes_and_their_21_confidences(meta):
    locations, confidences = meta(torch.empty(2, 3, 300, 300, device="meta"))
    assert locations.shape == (2, 8732, 4) and confidences.shape == (2, 8732, 21)


def test_the_six_maps_have_the_sizes_of_ssd300(meta):
    maps = list(meta.backbone(torch.empty(2, 3, 300, 300, device="meta")))
    for block in meta.extras:
        maps.append(block(maps[-1]))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (512, 38, 38), (1024, 19, 19), (2048, 10, 10), (256, 5, 5), (256, 3, 3), (256, 1, 1),
    ]  # fmt: skip


def test_the_backbone_is_resnet50_without_its_classifier(meta):
    parameters = sum(p.numel() for p in meta.backbone.parameters())
    assert parameters == 25_557_032 - (2048 * 1000 + 1000)
    channels, boxes = (512, 1024, 2048, 256, 256, 256), (4, 6, 6, 6, 4, 4)
    heads = sum((9 * c + 1) * n * (4 + 21) for c, n in zip(channels, boxes, strict=True))
    assert sum(p.numel() for p in (*meta.locations.parameters(), *meta.confidences.parameters())) == heads


def test_the_backbones_tensors_are_those_of_its_classifier_without_the_head(meta):
    with torch.device("meta"):
        classifier = models.build(Backbone.classifier).state_dict()
    shapes = {n: t.shape for n, t in classifier.items() if not n.startswith(f"{Backbone.head}.")}
    assert len(shapes) == len(classifier) - 2
    assert {n: t.shape for n, t in meta.backbone.state_dict().items()} == shapes


@pytest.mark.parametrize("extras, converted", [("real", 52), ("approximated", 64)])
def test_the_backbone_is_approximated_from_its_second_convolution_and_the_heads_never(extras, converted):
    with torch.device("meta"):
        report = conversion_report(models.ssd300(M=4, N=5, extras=extras))
    assert len(report.converted) == converted
    kept = {layer.name: layer.code for layer in report.kept}
    assert kept.pop("backbone.conv1") == "first-layer"
    assert set(kept.values()) == {"kept-by-name"}
    parts = {name.partition(".")[0] for name in kept}
    assert parts == {"locations", "confidences"} | ({"extras"} if extras == "real" else set())


def test_the_maps_may_have_the_channels_of_ssd300_too():
    with torch.device("meta"):
        model, converted = models.ssd300(maps="ssd"), models.ssd300(maps="ssd", M=4, N=5)
    maps = list(model.backbone(torch.empty(2, 3, 300, 300, device="meta")))
    maps[-1] = model.narrow(maps[-1])
    for block in model.extras:
        maps.append(block(maps[-1]))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (512, 38, 38), (1024, 19, 19), (512, 10, 10), (256, 5, 5), (256, 3, 3), (256, 1, 1),
    ]  # fmt: skip
    locations, confidences = model(torch.empty(2, 3, 300, 300, device="meta"))
    assert locations.shape == (2, 8732, 4) and confidences.shape == (2, 8732, 21)
    kept = {layer.name.partition(".")[0] for layer in conversion_report(converted).kept}
    assert kept == {"backbone", "narrow", "extras", "locations", "confidences"}
    with pytest.raises(UsageError, match="maps must be 'backbone' or 'ssd'; found 'vgg'"):
        models.ssd300(maps="vgg")


def test_an_unknown_policy_for_the_extras_is_refused():
    with pytest.raises(UsageError, match="extras must be 'real' or 'approximated'; found 'float'"):
        models.ssd300(extras="float")


def test_locations_and_confidences_are_in_the_order_of_the_priors():
    model = SSD300.__new__(SSD300)
    torch.nn.Module.__init__(model)
    model.num_classes = 1
    model.backbone = lambda x: (x,)
    model.extras = torch.nn.ModuleList()
    model.locations = torch.nn.ModuleList([torch.nn.Conv2d(1, 8, 1)])
    model.confidences = torch.nn.ModuleList([torch.nn.Conv2d(1, 4, 1)])
    with torch.no_grad():
        for head in (model.locations[0], model.confidences[0]):
            head.weight.fill_(100)
            head.bias.copy_(torch.arange(len(head.bias)))
        locations, confidences = model(torch.arange(6.0).reshape(1, 1, 2, 3))
    # cell by cell along the rows, two boxes a cell, four numbers (or two classes) a box
    assert torch.equal(locations, (100 * torch.arange(6.0)[:, None] + torch.arange(8.0)).reshape(1, 12, 4))
    assert torch.equal(confidences, (100 * torch.arange(6.0)[:, None] + torch.arange(4.0)).reshape(1, 12, 2))


@pytest.mark.parametrize("size, stride, padding, result", [(10, 2, 1, 5), (5, 2, 1, 3), (3, 1, 0, 1)])
def test_an_extra_block_makes_the_next_map(size, stride, padding, result):
    block = ExtraBlock(8, 16, stride, padding).eval()
    y = block(torch.randn(2, 8, size, size))
    assert y.shape == (2, 16, result, result) and (y >= 0).all()


def test_the_extras_can_be_approximated_and_deployed(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), ExtraBlock(8, 16, 2, 1), ExtraBlock(16, 16, 1, 0)
    )
    model = paconv.convert(net, M=4, N=5, last="pa")
    settle_batch_norm(model, [torch.randn(4, 3, 6, 6)])
    paconv.export(model, tmp_path / "model.onnx", (3, 6, 6))
    result = paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    assert [line.form for line in result.report.convs].count("bit-conv") == 8
    assert "BatchNormalization" not in {node.op_type for node in result.model.graph.node}
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok

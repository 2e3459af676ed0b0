"""Group-Net's architecture: whole blocks in parallel, as its authors' code has them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import paconv
from paconv import models
from paconv.cost import count, under_scheme
from paconv.errors import UsageError
from paconv.models.group_net import GroupNetBlock, GroupNetResNet
from paconv.network.extract import network
from paconv.nn import convert
from paconv.onnx_file.loading import load_model


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny(scales: bool = False, gates: bool = True, bases: int = 3) -> GroupNetResNet:
    torch.manual_seed(0)
    return GroupNetResNet((1, 1, 1, 1), 10, bases, gates, scales, nn.Hardtanh, width=8)


def signed(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


@pytest.mark.parametrize("scales", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_computes_what_its_authors_equations_say(stride, scales):
    torch.manual_seed(0)
    block = GroupNetBlock(4, 4, stride, bases=2, gated=True, scales=scales, activation=nn.Hardtanh)
    model = convert(nn.Sequential(nn.Conv2d(3, 4, 1), block), scheme="groupnet", first="groupnet", last="groupnet")
    block = model[1].eval()
    with torch.no_grad():
        block.gate.fill_(0.7)
        for norm in (m for m in block.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.weight.uniform_(0.5, 2)
            norm.bias.uniform_(-1, 1)
    branches, x = [images(2, 4, 6, 6, seed=1), images(2, 4, 6, 6, seed=2)], images(2, 4, 6, 6, seed=3)

    def conv(layer: nn.Conv2d, y: torch.Tensor, pad: int) -> torch.Tensor:
        W = layer.weight
        return F.conv2d(F.pad(signed(y), (pad,) * 4, value=1.0), W.abs().mean() * signed(W), None, layer.stride)

    made = []
    g = 1 / (1 + np.exp(-0.7))
    for k in range(2):
        y = g * branches[k] + (1 - g) * x
        shortcut = y if block.downsample is None else block.downsample[1](conv(block.downsample[0], y, 0))
        z = block.bn1[k](F.relu(conv(block.conv1[k], y, 1))) + shortcut
        made.append(block.bn2[k](F.relu(conv(block.conv2[k], z, 1))) + z)
    total = sum(made) / 2 if block.scales is None else sum(s * m for s, m in zip(block.scales, made, strict=True))
    found, found_total = block(branches, x)
    for one, other in zip((*found, found_total), (*made, total), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


def test_every_branch_has_convolutions_and_batch_norms_of_its_own_and_the_shortcut_is_shared():
    names = dict(tiny().named_parameters())
    for name in ("conv1", "conv2", "bn1", "bn2"):
        assert {f"layer2.0.{name}.{k}.weight" for k in range(3)} <= names.keys()
    assert "layer2.0.downsample.0.weight" in names
    assert "layer1.0.gate" not in names and "layer2.0.gate" in names  # nothing comes in branches before the first


@pytest.mark.parametrize("scales, gates", [(False, True), (True, True), (True, False)])
def test_a_training_step_reaches_every_parameter(scales, gates):
    model = convert(tiny(scales, gates), scheme="groupnet").train()
    F.cross_entropy(model(images(2, 3, 32, 32)), torch.tensor([1, 0])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """(model, folder with m.onnx, p.onnx and the float network f.onnx)."""
    folder = tmp_path_factory.mktemp("groupnet")
    net = tiny().eval()
    model = convert(net, scheme="groupnet").eval()
    paconv.export(net, folder / "f.onnx", (3, 32, 32))
    paconv.export(model, folder / "m.onnx", (3, 32, 32))
    paconv.optimize(folder / "m.onnx", folder / "p.onnx")
    return model, folder


def test_it_is_deployed_exactly(deployed):
    _, folder = deployed
    result = paconv.verify(folder / "m.onnx", folder / "p.onnx")
    assert result.ok, result.first_difference
    kinds = [node.op_type for node in onnx.load(folder / "p.onnx").graph.node]
    assert kinds.count("Conv") == 1  # the stem
    x = images(1, 3, 32, 32)
    found = paconv.InferenceSession(folder / "p.onnx").run(None, {"input": x.numpy()})[0]
    assert found.shape == (1, 10)


def test_it_costs_the_same_in_every_form(deployed):
    _, folder = deployed
    forms = [network(load_model(folder / name)) for name in ("m.onnx", "p.onnx")]
    forms.append(under_scheme(network(load_model(folder / "f.onnx")), "groupnet"))
    totals = [count(form).totals for form in forms]
    assert totals[0] == totals[1] == totals[2]
    # Of 3 branches: 8 to 64 channels, each weight one bit; the three shortcuts once.
    branch = 9 * (2 * 8 * 8 + sum(c * 2 * c + 4 * c * c for c in (8, 16, 32)))
    assert totals[0].binary_bits == 3 * branch + sum(2 * c * c for c in (8, 16, 32))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"bases": 0}, "bases must be a positive integer; found 0"),
        ({"bases": "5"}, "bases must be a positive integer; found '5'"),
        ({"gates": 2}, "gates must be 0 or 1; found 2"),
        ({"scales": "yes"}, "scales must be 0 or 1; found 'yes'"),
    ],
)
def test_arguments_without_meaning_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        models.build("groupnet18", **options)

"""The ready-made architectures."""

from __future__ import annotations

import copy
import io
import json
import warnings

import pytest
import torch
from torch import nn

import paconv
from paconv import models
from paconv.errors import UsageError
from paconv.models.resnet import BasicBlock, Bottleneck, ResNet
from paconv.nn import PAConv2d, conversion_report
from paconv.nn.schemes import SCHEMES


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("bireal18", 11_689_512),
        ("bireal34", 21_797_672),
        ("densenet121", 7_978_856),
        ("mobilenet_v1", 4_231_976),
    ],
)
def test_the_float_classifiers_have_the_published_number_of_parameters_and_classes(name, parameters):
    with torch.device("meta"):
        model = models.build(name)
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_state_dict_has_torchvisions_names():
    with torch.device("meta"):
        keys = set(models.resnet50().state_dict())
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv3.weight",
        "layer1.0.bn3.num_batches_tracked",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer4.2.conv2.weight",
        "fc.bias",
    } <= keys
    assert len(keys) == 320


def test_bottlenecks_have_their_stride_on_the_first_convolution():
    with torch.device("meta"):
        block = models.resnet50().layer3[0]
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))


def test_v1_5_has_the_stride_on_the_3x3_and_the_same_tensors():
    with torch.device("meta"):
        model, v1 = models.resnet50(variant="v1.5"), models.resnet50()
    block = model.layer3[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))
    assert {n: t.shape for n, t in model.state_dict().items()} == {n: t.shape for n, t in v1.state_dict().items()}
    with pytest.raises(UsageError, match="variant must be one of v1, v1.5; found 'v2'"):
        models.resnet50(variant="v2")


class SomebodyElses(nn.Module):
    """A ResNet50 of another library, as far as its state dict goes."""

    def __init__(self, model: nn.Module):
        super().__init__()
        for name, child in model.named_children():
            self.add_module(name, child)


def test_weights_that_may_be_of_v1_5_are_taken_for_v1_with_a_warning(tmp_path):
    source = ResNet(Bottleneck, (1, 1, 1, 1), 2)
    state = SomebodyElses(source).state_dict()
    message = "the state dict doesn't say whether its bottlenecks are v1 .* it is taken for v1"
    with pytest.warns(UserWarning, match=message):
        ResNet(Bottleneck, (1, 1, 1, 1), 2).load_state_dict(state)
    torch.save(state, tmp_path / "bare.pt")
    with pytest.warns(UserWarning, match="the checkpoint doesn't say whether its bottlenecks are v1"):
        paconv.load(tmp_path / "bare.pt", lambda: ResNet(Bottleneck, (1, 1, 1, 1), 2))


def test_there_is_no_warning_where_it_can_be_told_or_makes_no_difference(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = ResNet(Bottleneck, (1, 1, 1, 1), 2)
        ResNet(Bottleneck, (1, 1, 1, 1), 2).load_state_dict(source.state_dict())
        state = SomebodyElses(source).state_dict()
        ResNet(Bottleneck, (1, 1, 1, 1), 2, "v1.5").load_state_dict(state)
        basic = ResNet(BasicBlock, (1, 1, 1, 1), 2)
        ResNet(BasicBlock, (1, 1, 1, 1), 2).load_state_dict(SomebodyElses(basic).state_dict())
        copy.deepcopy(source)


@pytest.mark.parametrize("name, convolutions, shared", [("resnet18", 19, 3), ("resnet34", 35, 3), ("resnet50", 52, 4)])
def test_everything_but_stem_and_classifier_is_converted_and_downsamples_share(name, convolutions, shared):
    with torch.device("meta"):
        model = models.build(name, M=4, N=5)
    plan = model.paconv_conversion["plan"]
    assert len(plan) == convolutions
    assert set(model.paconv_conversion["rectified"]) == set(plan.values())
    assert [layer.name for layer in conversion_report(model).kept] == ["conv1", "fc"]
    pairs = {name: owner for name, owner in plan.items() if name != owner}
    assert len(pairs) == shared
    for name, owner in pairs.items():
        assert name == owner.replace("conv1", "downsample.0")


@pytest.mark.parametrize("M, N", [(4, 5), (8, 7), (4, None), (None, None)])
def test_the_digits_net_runs_and_trains(M, N):
    model = models.digits_resnet(M=M, N=N)
    y = model(torch.randn(2, 1, 8, 8))
    y.sum().backward()
    assert y.shape == (2, 10)
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_the_digits_net_is_converted_as_intended():
    model = models.digits_resnet(M=4, N=5)
    assert [layer.name for layer in conversion_report(model).kept] == ["conv", "fc"]
    assert model.block2.conv1.activation is model.block2.downsample.activation
    assert isinstance(model.block3.downsample, PAConv2d)
    assert all(module.activation.rectified for module in model.modules() if isinstance(module, PAConv2d))


def test_a_checkpoint_of_the_digits_net_is_small():
    file = io.BytesIO()
    torch.save(models.digits_resnet(M=4, N=5).state_dict(), file)
    assert file.tell() < 400_000


def test_a_resnet_runs_on_any_image_size():
    model = models.resnet18(num_classes=7, M=4, N=5).eval()
    assert model(torch.randn(2, 3, 48, 32)).shape == (2, 7)


def test_a_model_carries_what_builds_it_again():
    model = models.digits_resnet(7, M=4, N=5, width=8)
    architecture = json.loads(json.dumps(model.paconv_architecture))
    given = {"num_classes": 7, "M": 4, "N": 5, "width": 8}
    assert architecture == {"name": "digits_resnet", "config": {**given, "scheme": None, "activation": None}}
    again = models.build(architecture["name"], **architecture["config"])
    again.load_state_dict(model.state_dict())
    assert repr(again) == repr(model)


def test_unknown_names_and_arguments_are_refused():
    with pytest.raises(UsageError, match="no architecture is called 'vgg'; known are bireal18, bireal34, dense"):
        models.build("vgg")
    with pytest.raises(UsageError, match="no architecture is called 'vgg'"):
        models.input_shape("vgg")
    with pytest.raises(UsageError, match="expected positive integers such as .* found <function"):
        models.register(models.resnet18)
    with pytest.raises(UsageError, match="architecture resnet18: got an unexpected keyword argument 'depth'"):
        models.build("resnet18", depth=3)
    with pytest.raises(UsageError, match="N=5 needs M"):
        models.digits_resnet(N=5)
    with pytest.raises(UsageError, match="N=1 needs M"):
        models.digits_resnet(N=1, scheme="bireal")
    with pytest.raises(UsageError, match="scheme: expected pa, xnor, .*; found 'vgg'"):
        models.digits_resnet(scheme="vgg")


@pytest.mark.parametrize(
    "given, scheme, M, N",
    [
        ({"M": 4, "N": 5}, "pa", 4, 5),
        ({"M": 4}, "pa", 4, None),
        ({"scheme": "pa"}, "pa", 4, 5),
        ({"scheme": "syq"}, "syq", 1, 8),
        ({"scheme": "twn"}, "twn", 2, None),
        ({"scheme": "dorefa", "M": 3, "N": 4}, "dorefa", 3, 4),
        ({"scheme": "dorefa", "M": 3}, "dorefa", 3, None),
    ],
)
def test_a_scheme_has_its_own_planes_unless_M_and_N_are_given(given, scheme, M, N):
    report = conversion_report(models.digits_resnet(width=4, **given))
    assert (report.scheme, report.M, report.N) == (scheme, M, N)


LARGE = ("densenet121", "ssd300", "resnet50", "resnet34", "bireal34", "groupnet18", "groupnet34")
"""Tens of layers, each converted under each scheme: the same kinds of layers are in smaller architectures."""

LARGEST = ("densenet121", "groupnet34")
"""Minutes of all of them, with `make test-all` alone."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow, *[pytest.mark.whole] * (n in LARGEST)] if n in LARGE else ())
        for n in models.names()
    ],
)
def test_every_architecture_takes_every_scheme(name):
    with torch.device("meta"):
        for scheme in SCHEMES:
            model = models.build(name, num_classes=3, scheme=scheme)
            assert conversion_report(model).scheme == scheme
            assert json.loads(json.dumps(model.paconv_architecture["config"]))["scheme"] == scheme


@pytest.mark.parametrize("name", models.names())
def test_every_architecture_takes_the_images_that_it_is_meant_for(name):
    with torch.device("meta"):
        outputs = models.build(name)(torch.empty(2, *models.input_shape(name)))
    assert all(len(y) == 2 for y in (outputs if isinstance(outputs, tuple) else (outputs,)))


@pytest.mark.parametrize("name", ["bireal18", "digits_resnet"])
@pytest.mark.parametrize(
    "given, kind",
    [
        ({}, nn.ReLU),
        ({"M": 4, "N": 5}, nn.ReLU),
        ({"scheme": "abc"}, nn.ReLU),
        *(({"scheme": scheme}, nn.Hardtanh) for scheme in ("xnor", "bireal", "groupnet", "groupnet_layerwise")),
        ({"activation": "clip"}, nn.Hardtanh),
        ({"scheme": "bireal", "activation": "relu"}, nn.ReLU),
    ],
)
def test_activations_are_clipped_for_schemes_of_signs_unless_told_otherwise(name, given, kind):
    with torch.device("meta"):
        model = models.build(name, **given)
    activations = [m for m in model.modules() if isinstance(m, (nn.ReLU, nn.Hardtanh))]
    assert activations and {type(m) for m in activations} == {kind}


@pytest.mark.parametrize("name", ["bireal18", "densenet121", "mobilenet_v1", "ssd300"])
def test_a_checkpoint_of_an_architecture_needs_no_code_of_its_own(tmp_path, name):
    torch.manual_seed(0)
    model = models.build(name, num_classes=3, M=4, N=5)
    paconv.save(model, tmp_path / "model.pt", input_shape=(3, 64, 64))
    loaded = paconv.load(tmp_path / "model.pt")
    assert loaded.paconv_architecture == model.paconv_architecture
    assert loaded.paconv_conversion == model.paconv_conversion
    state = loaded.state_dict()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_another_architecture_can_be_registered(monkeypatch):
    monkeypatch.setattr("paconv.models.registry._ARCHITECTURES", {})

    @models.register(input_shape=(2,))
    def tiny(classes: int = 3) -> nn.Module:
        return nn.Linear(2, classes)

    assert models.names() == ["tiny"] and models.input_shape("tiny") == (2,)
    assert models.build("tiny", classes=4).paconv_architecture == {"name": "tiny", "config": {"classes": 4}}

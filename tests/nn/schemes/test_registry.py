"""The schemes by name, and `paconv.convert(model, scheme=...)`."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import paconv
from paconv.cost import SCHEMES as COSTED
from paconv.errors import CheckpointError, UsageError
from paconv.models import digits_resnet, resnet18, resnet50
from paconv.nn import calibrate, conversion_report, convert, freeze_, parameter_groups, project_
from paconv.nn.convert import convert_from_config
from paconv.nn.quantizer import ActivationQuantizer, WeightQuantizer
from paconv.nn.schemes import SCHEMES, make_scheme
from tests.nn.networks import FunctionalResNet, PreActivation, TwoRelus, Untraceable


def images(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def converted(scheme: str, net=FunctionalResNet, **options) -> nn.Module:
    torch.manual_seed(0)
    return convert(net(), scheme=scheme, **options)


def test_every_scheme_of_the_papers_comparison_is_there_and_can_be_counted():
    assert set(SCHEMES) == {
        "pa", "xnor", "bwn", "bireal", "abc", "groupnet", "groupnet_layerwise", "twn", "ttq", "dorefa", "syq", "lqnet",
    }  # fmt: skip
    assert set(SCHEMES) <= set(COSTED)
    assert all(kind.name == name and kind.title for name, kind in SCHEMES.items())


@pytest.mark.parametrize("name", SCHEMES)
def test_the_estimator_has_the_same_default_planes(name):
    made, costed = make_scheme(name), COSTED[name]
    assert (made.M, made.N) == costed.default
    assert made.real_shortcuts == costed.real_shortcuts


def test_pa_is_the_default_and_its_parameters_go_as_before():
    plain, named = convert(FunctionalResNet()), converted("pa", M=4, N=5)
    assert repr(plain) == repr(named)
    assert plain.paconv_conversion["scheme"] == "pa"
    assert convert(FunctionalResNet(), 8, None, endpoints="lloyd").paconv_conversion["endpoints"] == "lloyd"


@pytest.mark.parametrize("name", SCHEMES)
def test_the_configuration_is_json_and_rebuilds_the_same_structure(name):
    model = converted(name)
    again = convert_from_config(FunctionalResNet(), json.loads(json.dumps(model.paconv_conversion)))
    again.load_state_dict(model.state_dict())
    assert repr(again) == repr(model) and again.paconv_conversion == model.paconv_conversion
    x = images(2, 3, 8, 8)
    assert torch.equal(again.eval()(x), model.eval()(x))


@pytest.mark.parametrize("name", SCHEMES)
def test_a_checkpoint_carries_the_scheme(name, tmp_path):
    model = converted(name).eval()
    paconv.save(model, tmp_path / "model.pt", (3, 8, 8))
    loaded = paconv.load(tmp_path / "model.pt", FunctionalResNet)
    x = images(2, 3, 8, 8)
    assert torch.equal(loaded(x), model(x))
    assert loaded.paconv_conversion == model.paconv_conversion


@pytest.mark.parametrize("name", SCHEMES)
def test_a_checkpoint_of_a_ready_made_architecture_needs_no_code(name, tmp_path):
    model = convert(digits_resnet(), scheme=name).eval()
    paconv.save(model, tmp_path / "model.pt", (1, 8, 8))
    x = images(2, 1, 8, 8)
    assert torch.equal(paconv.load(tmp_path / "model.pt")(x), model(x))


@pytest.mark.parametrize("name", SCHEMES)
def test_a_network_in_float64_stays_in_float64(name):
    model = convert(FunctionalResNet().double(), scheme=name)
    y = model(images(2, 3, 8, 8).double())
    y.sum().backward()
    assert y.dtype == torch.float64 and {p.dtype for p in model.parameters()} == {torch.float64}


def test_a_configuration_of_pa_without_a_scheme_is_read_as_pa():
    config = convert(FunctionalResNet()).paconv_conversion
    old = {key: value for key, value in config.items() if key not in ("scheme", "shortcuts")}
    assert repr(convert_from_config(FunctionalResNet(), old)) == repr(convert(FunctionalResNet()))


def test_a_configuration_of_an_unknown_scheme_is_refused():
    config = {**convert(FunctionalResNet()).paconv_conversion, "scheme": "other"}
    with pytest.raises(CheckpointError, match="conversion config: .*scheme: expected pa, xnor, .*; found 'other'"):
        convert_from_config(FunctionalResNet(), config)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_training_step_reaches_every_parameter_and_spares_the_quantizers_decay(name):
    model = converted(name, PreActivation).train()
    groups = parameter_groups(model, lr=0.01, weight_decay=1e-4)
    quantizers = [m for m in model.modules() if isinstance(m, (ActivationQuantizer, WeightQuantizer))]
    own = {id(p) for quantizer in quantizers for p in quantizer.parameters()}
    assert own == {id(p) for group in groups if not group["weight_decay"] for p in group["params"]}
    optimizer = torch.optim.SGD(groups)
    F.cross_entropy(model(images(4, 3, 8, 8)), torch.tensor([1, 0, 1, 0])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), key
    optimizer.step()
    project_(model)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", SCHEMES)
def test_freezing_changes_no_output(name):
    model = converted(name).eval()
    x = images(2, 3, 8, 8)
    before = model(x)
    assert torch.equal(freeze_(model)(x), before)


@pytest.mark.parametrize("name, listed", [("pa", 2), ("abc", 2), ("lqnet", 2), ("dorefa", 0), ("bireal", 0)])
def test_calibration_sets_what_a_scheme_takes_from_data(name, listed):
    model = converted(name, PreActivation)
    assert len(calibrate(model, [images(4, 3, 8, 8)])) == listed


@pytest.mark.parametrize("name", ["xnor", "bireal", "groupnet_layerwise"])
def test_single_bit_schemes_keep_the_shortcuts_of_residual_blocks_real(name):
    kept = {layer.name: layer.code for layer in conversion_report(convert(resnet18(), scheme=name)).kept}
    shortcuts = {layer for layer, code in kept.items() if code == "shortcut"}
    assert shortcuts == {f"layer{k}.0.downsample.0" for k in (2, 3, 4)}
    assert kept["conv1"] == "first-layer" and kept["fc"] == "linear"
    everything = convert(resnet18(), scheme=name, shortcuts=name)
    assert "shortcut" not in {layer.code for layer in conversion_report(everything).kept}


@pytest.mark.parametrize(
    "name, owners", [("bireal", {"a": "a", "b": "a", "c": "c"}), ("dorefa", {"a": "a", "b": "a", "c": "a"})]
)
def test_signs_of_a_tensor_and_of_what_a_relu_leaves_of_it_are_not_shared(name, owners):
    model = converted(name, TwoRelus, shortcuts=name)  # c looks like one: a 1x1 convolution beside a
    plan = model.paconv_conversion["plan"]
    assert {conv: plan[conv] for conv in "abc"} == owners
    if name == "bireal":
        assert model.a.activation.rectified and not model.c.activation.rectified


def test_other_1x1_convolutions_are_no_shortcuts():
    kept = conversion_report(convert(resnet50(), scheme="bireal")).kept
    shortcuts = {layer.name for layer in kept if layer.code == "shortcut"}
    assert shortcuts == {f"layer{k}.0.downsample.0" for k in (1, 2, 3, 4)}


def test_the_report_names_the_scheme():
    report = conversion_report(converted("groupnet_layerwise"))
    assert str(report).startswith("layer-wise Group-Net conversion (M=5, N=1; layers traced): 4 converted, 3 kept real")
    assert "block1.a  " in str(report) and "8->8, 3x3" in str(report)


@pytest.mark.parametrize(
    "name, later",
    [("pa", {"around_mean": False}), ("bireal", {"magnitude_aware": True}), ("syq", {"fixed_point": True})],
)
def test_configurations_without_a_parameter_that_came_later_are_read_as_before(name, later):
    model = converted(name)
    old = {key: value for key, value in model.paconv_conversion.items() if key not in later}
    assert repr(convert_from_config(FunctionalResNet(), old)) == repr(model)


def test_syq_may_have_the_activations_of_its_authors_code():
    model = converted("syq", M=1, N=8, fixed_point=False)
    x = images(64).abs()
    quantizer = next(m for m in model.modules() if isinstance(m, ActivationQuantizer))
    expected = torch.floor(255 * x.clamp(0, 1) + 0.5) / 255
    assert torch.allclose(quantizer(x), expected, rtol=2**-16, atol=0)  # the unit is rounded (paconv.nn.schemes.evenly)


def test_group_net_binarizes_shortcuts_as_its_authors_do():
    kept = {layer.name for layer in conversion_report(convert(resnet18(), scheme="groupnet")).kept}
    assert kept == {"conv1", "fc"}


@pytest.mark.parametrize("build", [FunctionalResNet, digits_resnet])
def test_a_checkpoint_of_group_net_with_several_bases_is_one_of_the_layer_wise_form(build, tmp_path):
    """Until there was the group-wise form, that was what groupnet meant."""
    model = convert(build(), scheme="groupnet_layerwise", M=3).eval()
    config = json.loads(json.dumps(model.paconv_conversion).replace("groupnet_layerwise", "groupnet"))
    model.paconv_conversion = config
    shape = (1, 8, 8) if build is digits_resnet else (3, 8, 8)
    paconv.save(model, tmp_path / "model.pt", shape)
    loaded = paconv.load(tmp_path / "model.pt", None if build is digits_resnet else build)
    assert loaded.paconv_conversion["scheme"] == "groupnet_layerwise"
    x = images(2, *shape)
    assert torch.equal(loaded(x), model(x))


def test_so_is_that_of_an_architecture_that_was_built_with_the_scheme(tmp_path):
    model = digits_resnet(scheme="groupnet_layerwise").eval()
    for name in ("paconv_conversion", "paconv_architecture"):
        setattr(model, name, json.loads(json.dumps(getattr(model, name)).replace("groupnet_layerwise", "groupnet")))
    paconv.save(model, tmp_path / "model.pt", (1, 8, 8))
    x = images(2, 1, 8, 8)
    assert torch.equal(paconv.load(tmp_path / "model.pt")(x), model(x))


def test_a_model_that_can_not_be_traced_is_converted_too():
    assert conversion_report(converted("bireal", Untraceable)).order.startswith("layers as defined")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scheme": "other"}, "scheme: expected pa, xnor, bwn, .*; found 'other'"),
        ({"scheme": None}, "scheme: expected pa, .*; found None"),
        ({"scheme": "xnor", "M": 2}, "XNOR-Net has M=1, N=1; found M=2, N=1"),
        ({"scheme": "bireal", "N": None}, "Bi-Real Net has M=1, N=1; found M=1, N=None"),
        ({"scheme": "bwn", "N": 1}, r"BWN has M=1, N=None \(full-precision activations\); found M=1, N=1"),
        ({"scheme": "abc", "M": 0}, "ABC-Net: M must be 1..8; found M=0"),
        ({"scheme": "abc", "N": 0}, r"ABC-Net: N must be 1..8 or None \(full precision\); found N=0"),
        ({"scheme": "abc", "M": 9}, "ABC-Net: M must be 1..8; found M=9"),
        ({"scheme": "groupnet_layerwise", "N": 2}, "layer-wise Group-Net: N must be 1..1; found N=2"),
        ({"scheme": "groupnet", "N": 2}, "Group-Net has M=1, N=1; found M=1, N=2"),
        ({"scheme": "groupnet", "M": 5}, r"Group-Net has M=1, N=1; found M=5: its bases are .*groupnet_layerwise"),
        ({"scheme": "dorefa", "M": 5}, "DoReFa-Net: M must be 1..4; found M=5"),
        ({"scheme": "dorefa", "M": True}, "DoReFa-Net: M must be 1..4; found M=True"),
        ({"scheme": "lqnet", "N": 5}, "LQ-Net: N must be 1..4 or None"),
        ({"scheme": "syq", "M": 3}, "SYQ: M must be 1..2; found M=3"),
        ({"scheme": "syq", "scaling": "column"}, "SYQ: scaling must be one of pixel, row, layer; found 'column'"),
        ({"scheme": "syq", "fraction_bits": 0.5}, "SYQ: fraction_bits must be an integer"),
        ({"scheme": "syq", "fixed_point": 0}, "SYQ: fixed_point must be True or False; found 0"),
        ({"scheme": "syq", "fixed_point": False, "fraction_bits": 2}, "SYQ: fraction_bits is of fixed-point"),
        ({"scheme": "bireal", "magnitude_aware": 1}, "Bi-Real Net: magnitude_aware must be True or False; found 1"),
        ({"scheme": "pa", "around_mean": 1}, "around_mean must be True or False; found 1"),
        ({"scheme": "pa", "lambda_w": "by-N"}, "lambda_w must be a positive number or 'by-M'; found 'by-N'"),
        ({"scheme": "twn", "factor": 0}, "TWN: factor must be a positive number; found 0"),
        ({"scheme": "ttq", "threshold": 1.0}, "TTQ: threshold must be below 1"),
        ({"scheme": "xnor", "input_scaling": 1}, "XNOR-Net: input_scaling must be True or False; found 1"),
        ({"scheme": "xnor", "lambda_w": 1}, "scheme xnor has no parameter 'lambda_w'; it takes input_scaling"),
        ({"scheme": "bwn", "lambda_w": 1}, "scheme bwn has no parameter 'lambda_w'; it takes none but M and N"),
        ({"scheme": "xnor", "first": "pa"}, "first must be 'real' or 'xnor'; found 'pa'"),
        ({"scheme": "xnor", "shortcuts": "pa"}, "shortcuts must be 'real' or 'xnor'; found 'pa'"),
    ],
)
def test_options_without_meaning_are_refused_in_one_line(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        convert(FunctionalResNet(), **options)
    assert "\n" not in str(caught.value)

"""convert: what becomes approximated, what stays real and why, and the same again from the recorded configuration."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

import paconv
from paconv.cost.host.speed import speed_of
from paconv.cost.source import network_of_module
from paconv.errors import CheckpointError, UsageError
from paconv.nn import PAConv2d, calibrate, conversion_report, convert, convert_from_config
from paconv.nn.layers import PALinear
from tests.cost.host import synthetic
from tests.nn.networks import FunctionalResNet, PreActivation, TwoRelus, TwoStems, Untraceable, mobile_block


def converted_names(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, PAConv2d)]


def kept(model: nn.Module) -> dict[str, str]:
    return {layer.name: layer.code for layer in conversion_report(model).kept}


def sharing(model: nn.Module) -> dict[str, int]:
    return {name: id(module.activation) for name, module in model.named_modules() if isinstance(module, PAConv2d)}


def rectified(model: nn.Module) -> dict[str, bool]:
    return {name: module.activation.rectified for name, module in model.named_modules() if isinstance(module, PAConv2d)}


def test_the_report_predicts_the_speed_beside_float_before_anything_is_trained():
    torch.manual_seed(0)
    model, host = convert(FunctionalResNet(), 4, 5), synthetic.host((4, 5))
    before, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    speed = conversion_report(model).predict((3, 16, 16), host)
    network = network_of_module(model, (3, 16, 16))
    assert speed == speed_of(host, network)
    assert {layer.name for layer in network if layer.planes} == set(converted_names(model))
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_the_prediction_lacks_is_said():
    report = conversion_report(convert(FunctionalResNet(), 4, 5))
    with pytest.raises(UsageError, match=r"give input_shape=\(C, H, W\)"):
        report.predict(host=synthetic.host((4, 5)))
    with pytest.raises(UsageError, match="for the schemes pa and float; found xnor"):
        conversion_report(convert(FunctionalResNet(), scheme="xnor")).predict((3, 16, 16))


def test_a_handwritten_functional_resnet_keeps_its_stem_and_classifier_and_shares_at_the_shortcut():
    model = convert(FunctionalResNet(), 4, 5)
    assert set(converted_names(model)) == {"block1.a", "block1.b", "block2.a", "block2.b", "block2.shortcut"}
    assert kept(model) == {"stem": "first-layer", "classify": "linear"}
    shared = sharing(model)
    assert shared["block2.a"] == shared["block2.shortcut"]
    assert len(set(shared.values())) == 4
    assert model.paconv_conversion["order"] == "traced"


def test_the_input_model_is_untouched_and_the_weights_are_kept():
    parent = FunctionalResNet()
    before = copy.deepcopy(parent.state_dict())
    model = paconv.convert(parent, M=4, N=5)
    assert converted_names(parent) == [] and not hasattr(parent, "paconv_conversion")
    for key, tensor in before.items():
        assert torch.equal(parent.state_dict()[key], tensor)
        assert torch.equal(model.state_dict()[key], tensor)
        assert tensor.numel() == 0 or model.state_dict()[key].data_ptr() != parent.state_dict()[key].data_ptr()


def test_a_relu_in_between_is_looked_through_but_nothing_else():
    shared = sharing(convert(TwoRelus(), 4, 5, signed=False))
    assert shared["a"] == shared["b"] == shared["c"] != shared["d"]


def test_with_levels_below_0_what_reads_a_tensor_without_its_relu_has_a_quantizer_of_its_own():
    shared = sharing(convert(TwoRelus(), 4, 5))
    assert shared["a"] == shared["b"] and len(set(shared.values())) == 3


def test_an_activation_is_rectified_where_a_relu_comes_before():
    assert set(rectified(convert(FunctionalResNet(), 4, 5)).values()) == {True}
    assert rectified(convert(mobile_block(), 4, 5, first="pa")) == {"0": False, "6": True, "9": True}
    assert rectified(convert(PreActivation(), 4, 5)) == {"a": True, "b": False}


def test_a_shared_activation_is_rectified_only_if_all_who_share_it_read_a_relu():
    assert rectified(convert(TwoRelus(), 4, 5, signed=False)) == dict.fromkeys("abcd", False)
    assert rectified(convert(TwoRelus(), 4, 5, keep="c")) == {"a": True, "b": True, "d": False}


def test_depthwise_stays_real_grouped_is_converted_and_a_convolution_as_last_layer_stays_real():
    model = convert(mobile_block(), 4, 5)
    assert converted_names(model) == ["6", "9"]
    assert kept(model) == {"0": "first-layer", "3": "depthwise", "12": "last-layer"}
    everything = convert(mobile_block(), 4, 5, first="pa", last="pa", depthwise="pa")
    assert converted_names(everything) == ["0", "3", "6", "9", "12"]
    assert everything(torch.randn(1, 3, 8, 8)).shape == (1, 10)


def test_every_convolution_of_an_input_is_a_first_one():
    model = convert(TwoStems(), 4, 5)
    assert kept(model) == {"stem_x": "first-layer", "stem_y": "first-layer", "head": "linear"}
    assert "stem_y  first-layer: a convolution of an input stays real" in str(conversion_report(model))
    assert converted_names(convert(TwoStems(), 4, 5, first="pa")) == ["stem_x", "stem_y", "body"]


def test_every_convolution_of_the_input_is_a_first_one_in_a_recorded_forward_too():
    class Branches(Untraceable):
        def __init__(self):
            super().__init__()
            self.side = nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return super().forward(x) + self.side(x).mean((2, 3))

    model = convert(Branches(), 4, 5, input_shape=(3, 8, 8))
    assert kept(model) == {"stem": "first-layer", "head": "linear", "side": "first-layer"}


@pytest.mark.parametrize("keep", ["block1", ["block1.*"], ["block?.a", "*.b"], ("classify", "block2.shortcut")])
def test_what_is_named_stays_real(keep):
    model = convert(FunctionalResNet(), 4, 5, keep=keep)
    named = {name for name, code in kept(model).items() if code == "kept-by-name"}
    assert (
        named
        == {
            str(["block1"]): {"block1.a", "block1.b"},
            str(["block1.*"]): {"block1.a", "block1.b"},
            str(["block?.a", "*.b"]): {"block1.a", "block1.b", "block2.a", "block2.b"},
            str(["classify", "block2.shortcut"]): {"block2.shortcut"},
        }[str(model.paconv_conversion["keep"])]
    )


def test_without_activation_planes_there_is_no_activation_quantizer():
    model = convert(FunctionalResNet(), 8, None)
    assert all(model.get_submodule(name).activation is None for name in converted_names(model))
    assert set(model.paconv_conversion["plan"].values()) == {None}
    assert model.paconv_conversion["rectified"] == []


def test_other_paddings_other_dimensions_subclasses_and_weights_that_are_no_parameters_stay_real():
    class MyConv(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        MyConv(4, 4, 3),
        nn.ConvTranspose2d(4, 4, 3),
        without_parameter(nn.Conv2d(4, 4, 3)),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3),
    )
    assert kept(convert(model, 4, 5)) == {
        "0": "first-layer",
        "1": "padding-mode",
        "2": "subclass",
        "3": "not-conv2d",
        "4": "reparametrized",
        "6": "last-layer",
    }


def without_parameter(conv: nn.Conv2d) -> nn.Conv2d:
    """`conv`, whose weight is an attribute that its owner's code sets."""
    weight = conv.weight
    del conv.weight
    conv.weight = weight.detach() * 1
    return conv


COMPUTED = {
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "pruning masks": lambda conv: prune.l1_unstructured(conv, "weight", 0.5),
    "parametrizations (WeightNorm)": parametrizations.weight_norm,
    "parametrizations (SpectralNorm)": parametrizations.spectral_norm,
    "parametrizations (Orthogonal)": parametrizations.orthogonal,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("how", COMPUTED)
@pytest.mark.parametrize("ran", [False, True], ids=["fresh", "after a forward"])
def test_computed_weights_are_taken_as_they_are_in_eval_mode_and_come_back(tmp_path, how, ran):
    """weight_norm and prune leave tensors on the layer that copy.deepcopy refuses."""

    def make() -> nn.Module:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 2, 3))
        COMPUTED[how](model[2])
        return model

    parent, x = make(), torch.randn(2, 3, 8, 8)
    if ran:
        parent(x)
    model = convert(parent, 4, 5)
    parent.eval()(x)
    assert model[2].weight.is_leaf and model[2].weight.requires_grad and model[2].training
    assert torch.equal(model[2].weight, parent[2].weight) and "weight" not in parent[2]._parameters
    assert f"its weight, computed by {how}, is a plain one now" in str(conversion_report(model))
    model(x).sum().backward()
    assert model[2].weight.grad.any()
    paconv.save(model, tmp_path / "model.pt")
    assert torch.equal(paconv.load(tmp_path / "model.pt", make)(x), model.eval()(x))


def test_computed_weights_of_layers_that_stay_real_are_still_computed():
    parent = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    prune.l1_unstructured(parent[0], "weight", 0.5)
    parametrizations.weight_norm(parent[3])
    state = convert(parent, 4, 5).state_dict()
    assert {"0.weight_mask", "3.parametrizations.weight.original0"} <= state.keys()
    both = convert(parent, 4, 5, linear="pa", last="pa")
    assert isinstance(both[3], PALinear) and torch.equal(both[3].weight.flatten(1), parent[3].weight)


def test_a_model_that_keeps_a_tensor_of_its_last_forward_is_converted():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            self.seen = {"features": [self.a(x)]}
            return self.c(self.b(self.seen["features"][0].relu()))

    parent, x = Keeping(), torch.randn(1, 3, 8, 8)
    parent(x)
    assert converted_names(convert(parent)) == ["b"]


class Locked:
    def __deepcopy__(self, memo):
        raise TypeError("a lock can't be copied")


def test_what_cannot_be_copied_and_torchscript_get_a_line():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    model.lock = Locked()
    with pytest.raises(UsageError, match=r"can't be copied \(copy.deepcopy\): TypeError: a lock can't be copied"):
        convert(model)
    del model.lock
    script = torch.jit.trace(model, torch.zeros(1, 3, 9, 9))
    for use in (convert, conversion_report, lambda m: calibrate(m, [torch.zeros(1, 3, 9, 9)])):
        with pytest.raises(UsageError, match="found a TorchScript module, .*give the module that it was made from"):
            use(script)
    around = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), script)
    assert kept(convert(around))["3"] == "torchscript"


@pytest.mark.parametrize("wrap", [nn.DataParallel, AveragedModel, lambda m: torch.compile(m, backend="eager")])
def test_of_a_wrapped_model_the_model_within_is_converted(wrap):
    model = FunctionalResNet()
    made = convert(wrap(model), 4, 5)
    assert type(made) is FunctionalResNet and converted_names(made) == converted_names(convert(model, 4, 5))
    assert str(conversion_report(wrap(made))) == str(conversion_report(made))


def test_a_convolution_known_under_two_names_is_replaced_under_both():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), conv, nn.BatchNorm2d(4), conv, nn.Flatten(), nn.Linear(144, 2))
    model = convert(model, 4, 5)
    assert model[1] is model[3] and isinstance(model[1], PAConv2d)
    assert model(torch.randn(1, 3, 8, 8)).shape == (1, 2)


def test_a_model_that_cannot_be_traced_is_read_as_defined_or_from_a_recorded_forward():
    defined = convert(Untraceable(), 4, 5)
    assert kept(defined)["b"] == "first-layer" and "give input_shape" in str(conversion_report(defined))
    recorded = convert(Untraceable(), 4, 5, input_shape=(3, 8, 8))
    assert kept(recorded) == {"stem": "first-layer", "head": "linear"}
    assert recorded.b.activation is recorded.down.activation
    assert rectified(recorded) == {"b": True, "down": True}
    assert rectified(convert(Untraceable(), 4, 5, first="pa")) == {"b": False, "down": False, "stem": False}
    assert "recorded" in str(conversion_report(recorded))


def test_an_input_shape_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"does not take one input of shape \(1, 4, 8, 8\)"):
        convert(Untraceable(), 4, 5, input_shape=(4, 8, 8))


def test_tracing_leaves_no_trace_in_the_model():
    class Remembers(nn.Sequential):
        def forward(self, x):
            self.seen = super().forward(x)
            return self.seen

    model = convert(Remembers(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2)), 4, 5)
    assert model.paconv_conversion["order"] == "traced" and not hasattr(model, "seen")


def test_dtype_device_and_mode_follow_the_convolution():
    model = convert(FunctionalResNet().double().eval(), 4, 5)
    assert model.block1.a.activation.v.dtype == torch.float64
    assert not model.block1.a.training and not model.block1.a.activation.training
    assert model(torch.randn(1, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_the_report_names_every_layer_with_its_reason():
    text = str(conversion_report(convert(FunctionalResNet(), 4, 5)))
    assert text.splitlines()[0] == "PA conversion (M=4, N=5; layers traced): 5 converted, 2 kept real"
    assert "block2.a         8->16, 3x3, stride 2, activation endpoints of block2.shortcut" in text
    assert "stem             first-layer: the first convolution stays real" in text
    assert "N=full precision" in str(conversion_report(convert(FunctionalResNet(), 4, None)))


def test_a_model_that_was_not_converted_has_no_report():
    with pytest.raises(UsageError, match="not made by paconv.convert"):
        conversion_report(FunctionalResNet())


@pytest.mark.parametrize(
    "options",
    [{}, {"M": 8, "N": None, "endpoints": "lloyd", "lambda_w": 1.5}, {"N": 1, "lambda_a": 0.5, "keep": ["block1"]}],
)
def test_the_configuration_is_json_and_rebuilds_the_same_structure(options):
    model = convert(FunctionalResNet(), **options)
    config = json.loads(json.dumps(model.paconv_conversion))
    again = convert_from_config(FunctionalResNet(), config)
    again.load_state_dict(model.state_dict())
    assert repr(again) == repr(model)
    assert again.paconv_conversion == model.paconv_conversion
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(again.eval()(x), model.eval()(x))
    if model.paconv_conversion["N"] is not None:
        assert again.block2.a.activation is again.block2.shortcut.activation
        assert again.block2.a.activation is not again.block2.b.activation


def test_the_configuration_carries_which_activations_are_rectified():
    model = convert(PreActivation(), 4, 5)
    assert model.paconv_conversion["rectified"] == ["a"]
    again = convert_from_config(PreActivation(), json.loads(json.dumps(model.paconv_conversion)))
    assert rectified(again) == {"a": True, "b": False}


def test_a_configuration_of_another_model_names_the_first_module_that_does_not_fit():
    config = convert(FunctionalResNet(), 4, 5).paconv_conversion
    with pytest.raises(CheckpointError, match="converts block2.shortcut, but the model has no such module"):
        convert_from_config(TwoRelus(), config)
    other = FunctionalResNet()
    other.block2.b = nn.Linear(3, 3)
    with pytest.raises(CheckpointError, match="converts block2.b, but there it is Linear: linear layers stay real"):
        convert_from_config(other, config)
    with pytest.raises(CheckpointError, match="block2.shortcut, but there it is PAConv2d"):
        convert_from_config(convert(FunctionalResNet(), 4, 5), config)


@pytest.mark.parametrize(
    "change",
    [
        {"M": 9},
        {"N": "5"},
        {"N": None},
        {"plan": {"block1.a": "block1.b"}},
        {"plan": {"block1.a": ["block1.a"]}},
        {"plan": 7},
        {"plan": None},
        {"rectified": None},
        {"rectified": "block1.a"},
        {"rectified": ["stem"]},
        {"rectified": ["block2.a"]},  # it uses the activation of block2.shortcut
        {"rectified": [["block1.a"]]},
        {"endpoints": []},
        {"endpoints": "none"},
        {"lambda_w": "2"},
        {"kept": [{"nme": "x"}]},
        {"order": "guessed"},
    ],
)
def test_a_configuration_that_convert_did_not_write_is_refused(change):
    config = {**convert(FunctionalResNet(), 4, 5).paconv_conversion, **change}
    with pytest.raises(CheckpointError, match="conversion config"):
        convert_from_config(FunctionalResNet(), config)


def test_a_configuration_with_a_part_missing_is_refused():
    complete = convert(FunctionalResNet(), 4, 5).paconv_conversion
    for key in ("M", "N", "plan", "rectified", "kept", "order", "endpoints", "lambda_w", "lambda_a", "lambda_delta"):
        with pytest.raises(CheckpointError, match="conversion config"):
            convert_from_config(FunctionalResNet(), {k: v for k, v in complete.items() if k != key})
    for nonsense in (None, [], "config"):
        with pytest.raises(CheckpointError, match="conversion config"):
            convert_from_config(FunctionalResNet(), nonsense)


def test_a_converted_model_is_not_converted_again():
    with pytest.raises(UsageError, match="already converted"):
        convert(convert(FunctionalResNet(), 4, 5), 4, 5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"M": 0}, "must be 1..8"),
        ({"M": 10}, "must be 1..8"),
        ({"M": None}, "must be 1..8"),
        ({"N": 0}, "must be 1..8 or None"),
        ({"N": 9}, "must be 1..8 or None"),
        ({"N": 2.0}, "must be 1..8 or None"),
        ({"keep": "layer9"}, "keep='layer9' names no convolution or linear layer"),
        ({"first": "float"}, "first must be 'real' or 'pa'"),
        ({"endpoints": "uniform"}, "endpoints must be one of paper, lloyd"),
        ({"lambda_delta": 0}, "lambda_delta must be a positive number"),
        ({"keep": 3}, r"keep: expected names of layers or modules, found int \(3\)"),
        ({"keep": ["stem", 1]}, r"keep: expected names of layers or modules, found int \(1\)"),
        ({"keep": "*"}, "no convolution to convert"),
    ],
)
def test_options_without_meaning_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        convert(FunctionalResNet(), **options)


@pytest.mark.parametrize("model", [nn.Linear(2, 2), nn.Sequential(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Conv2d(3, 4, 3)])
def test_a_model_without_a_convolution_to_convert_is_refused(model):
    with pytest.raises(UsageError, match="no convolution to convert"):
        convert(model, 4, 5)


@pytest.mark.parametrize(
    "model, found",
    [(3, r"int \(3\)"), (None, r"NoneType \(None\)"), (FunctionalResNet, "the class FunctionalResNet; call it")],
)
def test_what_is_no_model_is_refused(model, found):
    with pytest.raises(UsageError, match=f"model: expected a torch.nn.Module, found {found}"):
        convert(model)

"""The quantized network as a torch module: the same decisions, and a checkpoint that keeps them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import paconv
from paconv.errors import CheckpointError, UsageError
from paconv.models import digits_resnet
from paconv.nn import PAConv2d, conversion_report, convert_from_config
from paconv.quantization.to_torch import quantized_module
from tests.quantization.networks import images

SHAPE = (3, 12, 12)


class SignedNet(nn.Module):
    """A residual block of hard swishes, two convolutions of one tensor, a convolution padded by a function, a grouped
    one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.two = nn.Conv2d(8, 16, 3, stride=2)
        self.cut = nn.Conv2d(8, 16, 1, stride=2)
        self.group = nn.Conv2d(16, 24, 3, padding=1, groups=2, bias=False)
        self.fc = nn.Linear(24, 5)

    def forward(self, x):
        x = nn.functional.hardswish(self.stem(x))
        y = nn.functional.hardswish(self.bn(self.one(x)) + x)
        z = self.two(nn.functional.pad(y, (1, 1, 1, 1))) + self.cut(y)
        return self.fc(nn.functional.relu(self.group(nn.functional.relu(z))).mean((2, 3)))


def signed_net() -> nn.Module:
    torch.manual_seed(0)
    net = SignedNet()
    with torch.no_grad():
        for _ in range(8):
            net(torch.from_numpy(images(32, 9)))
    return net.eval()


def stored(model: onnx.ModelProto) -> dict[str, dict[str, np.ndarray]]:
    """Name of each PA function call -> its constants."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    names = {"PAWeight": ("W", "u", "levels", "alpha", "masks"), "PAActivation": ("x", "v", "levels", "beta", "masks")}
    return {
        node.name: {
            key: values[name] for key, name in zip(names[node.op_type], node.input, strict=False) if name in values
        }
        for node in model.graph.node
        if node.domain == "paconv"
    }


def assert_same_network(first: onnx.ModelProto, second: onnx.ModelProto, x: np.ndarray) -> None:
    """The same bits of levels, endpoints, weights and planes, and outputs that differ by what summing in another order
    gives: decisions are the same but where an activation is at an endpoint.
    """
    ones, others = stored(first), stored(second)
    weights = [name for name in ones if name.endswith("weight_quantizer")]
    assert weights == [name for name in others if name.endswith("weight_quantizer")]
    for name in weights:
        assert ones[name].keys() == others[name].keys()
        assert all(np.array_equal(value, others[name][key]) for key, value in ones[name].items()), name
    activations, copies = ([c for c in calls.values() if "v" in c] for calls in (ones, others))
    for call in copies:  # a tensor that is read padded and not has one call in the file, two in torch
        assert any(
            np.array_equal(call["v"], c["v"]) and np.array_equal(call["levels"], c["levels"]) for c in activations
        )
    assert len(activations) <= len(copies)
    a, b = (run(model, x) for model in (first, second))
    assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def reexported(module: nn.Module, folder, shape: tuple[int, ...], **options) -> onnx.ModelProto:
    paconv.export(module, folder / "again.onnx", shape, **options)
    return onnx.load(folder / "again.onnx")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fast": True, "M": 8, "N": 7},
        {"N": None},
        {"grid": (7, 15)},
        {"worst": 2, "worst_levels": (8, 7)},
        {"worst": 1, "worst_levels": (2, None)},
        {"signed": True, "depthwise": "pa", "first": "pa"},
    ],
)
def test_exported_again_it_is_the_same_network(options, tmp_path):
    net, x = signed_net(), images(48)
    found = paconv.quantize(net, x, input_shape=SHAPE, by_channel=False, **options)
    made = quantized_module(net, found)
    assert_same_network(found.model, reexported(made, tmp_path, SHAPE), x)
    with torch.no_grad():
        assert np.abs(made(torch.from_numpy(x)).numpy() - run(found.model, x)).max() < 1e-5
    convs = {name: module for name, module in made.named_modules() if isinstance(module, PAConv2d)}
    assert {name: (conv.weight_quantizer.M, conv.activation and conv.activation.N) for name, conv in convs.items()} == {
        layer.name: (layer.M, layer.N) for layer in found.pa
    }


def test_real_levels_stay_real(tmp_path):
    net, x = signed_net(), images(48)
    found = paconv.quantize(net, x, input_shape=SHAPE, by_channel=False, grid=None)
    assert_same_network(found.model, reexported(quantized_module(net, found), tmp_path, SHAPE, grid=None), x)


def test_a_checkpoint_keeps_the_network_and_what_stayed_real(tmp_path):
    torch.manual_seed(0)
    net, x = digits_resnet().eval(), np.random.default_rng(0).random((48, 1, 8, 8), np.float32)
    paconv.save(net, tmp_path / "float.pt", (1, 8, 8))
    found = paconv.quantize(tmp_path / "float.pt", x, checkpoint=tmp_path / "quantized.pt")
    made = paconv.load(tmp_path / "quantized.pt")
    assert made.paconv_input_shape == (1, 8, 8) and made.paconv_architecture["name"] == "digits_resnet"
    assert_same_network(found.model, reexported(made, tmp_path, (1, 8, 8)), x)
    assert made.block2.conv1.activation is made.block2.downsample.activation
    assert all(
        layer.activation is None or layer.activation.rectified
        for layer in made.modules()
        if isinstance(layer, PAConv2d)
    )
    report = conversion_report(made)
    assert [conv.name for conv in report.converted] == [layer.name for layer in found.pa]
    assert {(layer.name, layer.code) for layer in report.kept} >= {("conv", "first-layer")}
    paconv.save(made, tmp_path / "again.pt")
    state, again = (paconv.load(tmp_path / name).state_dict() for name in ("quantized.pt", "again.pt"))
    assert state.keys() == again.keys() and all(torch.equal(state[name], again[name]) for name in state)


def test_a_checkpoint_of_a_users_own_model_is_loaded_with_it(tmp_path):
    net, x = signed_net(), images(32)
    found = paconv.quantize(net, x, 4, 5, input_shape=SHAPE, checkpoint=tmp_path / "q.pt", worst=1, worst_levels=(8, 7))
    with torch.no_grad():
        loaded = paconv.load(tmp_path / "q.pt", SignedNet)(torch.from_numpy(x)).numpy()
    assert np.abs(loaded - run(found.model, x)).max() < 1e-5


def test_channels_of_zeros_are_safe(tmp_path):
    net, x = signed_net(), images(32)
    with torch.no_grad():
        net.one.weight[2] = 0
    found = paconv.quantize(net, x, input_shape=SHAPE, by_channel=False, fast=True)
    made = quantized_module(net, found)
    assert made.one.weight_quantizer.scales[2] == 0
    assert_same_network(found.model, reexported(made, tmp_path, SHAPE), x)
    made.train()(torch.from_numpy(x)).sum().backward()
    assert all(p.grad.isfinite().all() for p in made.parameters() if p.grad is not None)


def test_a_convolution_that_runs_twice_is_refused():
    class Twice(SignedNet):
        def forward(self, x):
            x = nn.functional.relu(self.stem(x))
            y = nn.functional.relu(self.one(nn.functional.relu(self.one(x))))
            return self.fc(self.group(nn.functional.relu(self.two(y))).mean((2, 3)))

    torch.manual_seed(0)
    net = Twice().eval()
    found = paconv.quantize(net, images(16), input_shape=SHAPE, by_channel=False, fast=True)
    with pytest.raises(UsageError, match="no convolution of its own in torch"):
        quantized_module(net, found)


def test_an_onnx_file_gives_no_checkpoint(tmp_path):
    paconv.export(signed_net(), tmp_path / "float.onnx", SHAPE)
    with pytest.raises(UsageError, match="of a torch source alone"):
        paconv.quantize(tmp_path / "float.onnx", images(8), checkpoint=tmp_path / "quantized.pt")
    assert not (tmp_path / "quantized.pt").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"biases": ["fc"]},
        {"biases": 3},
        {"planes": {"fc": [4, 5]}},
        {"planes": {"cut": [4, 3]}},
        {"planes": {"one": [9, 5]}},
        {"planes": {"one": [4, None]}},
        {"planes": {"one": 4}},
    ],
)
def test_planes_and_biases_that_no_conversion_has_are_refused(change):
    net = signed_net()
    config = {**paconv.convert(net).paconv_conversion, "planes": {}, "biases": []}
    config["plan"]["cut"] = "two"
    config["signed_activations"].remove("cut")
    convert_from_config(net, config)
    with pytest.raises(CheckpointError, match="conversion config"):
        convert_from_config(net, {**config, **change})

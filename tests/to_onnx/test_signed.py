"""Networks whose activations have two signs, from torch to the kernels: the same decisions, sums and results."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import paconv
from paconv.nn import calibrate, convert, settle_batch_norm, snap_
from paconv.ops.integer_levels import integer_levels
from paconv.reference import pa_activation


class Bottleneck(nn.Module):
    """MobileNetV2's block with dense convolutions: its stream is a sum that no activation follows."""

    def __init__(self, channels: int, activation: type[nn.Module]):
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(channels, 24, 1, bias=False), nn.BatchNorm2d(24), activation())
        self.narrow = nn.Sequential(nn.Conv2d(24, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return x + self.narrow(self.wide(x))


def network(activation: type[nn.Module]) -> nn.Module:
    """A stem, a linear bottleneck, an overlapping maximum, and convolutions with padding, dilation and groups."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)),
        Bottleneck(16, activation),
        nn.MaxPool2d(3, 2, 1),
        nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)),
        nn.Conv2d(16, 16, 3, padding=2, dilation=2),
        nn.Conv2d(16, 24, 3, padding=1, groups=2),
        nn.Sequential(nn.MaxPool2d(2), activation(), nn.Conv2d(24, 8, 1)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def calibrated(activation: type[nn.Module], N: int) -> tuple[nn.Module, torch.Tensor]:
    x = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    model = convert(network(activation), 4, N)
    settle_batch_norm(model, [x])
    calibrate(model, [x])
    return model.eval(), x


@pytest.mark.parametrize(
    "activation, N, grid",
    [
        (nn.SiLU, 5, "default"),
        (nn.Hardswish, 5, (127, 255)),
        (nn.PReLU, 7, "default"),
        (nn.Identity, 5, None),
        (nn.Identity, 8, "default"),
    ],
    ids=["silu", "hardswish", "prelu", "linear, real levels", "linear"],
)
def test_a_network_with_negative_activations_runs_linked_as_it_was_exported(tmp_path, activation, N, grid):
    model, x = calibrated(activation, N)
    below = [m.below for m in model.modules() if isinstance(m, paconv.nn.PAActivation)]
    assert max(below) >= 2
    exported, packed = tmp_path / "model.onnx", tmp_path / "pa.onnx"
    paconv.export(model, exported, (3, 16, 16), grid=grid)
    paconv.optimize(exported, packed)
    ops = Counter(node.op_type for node in onnx.load(packed).graph.node)
    assert ops["PALevelConv"] >= 4 and ops["PALevelMaxPool"] >= 1 and not ops["PAActivation"]
    result = paconv.verify(exported, packed)
    assert result.ok and all(layer.flips == 0 for layer in result.layers)
    if grid is not None:
        assert all(layer.integers for layer in result.layers)
    snap_(model, grid)
    with torch.no_grad():
        expected = model(x).numpy()
    # float32's rounding of a few hundred products, added up through eight layers
    for kernel in ("planes", "codes") if grid is not None else ("planes",):
        found = paconv.InferenceSession(packed, kernel=kernel).run(None, {"input": x.numpy()})[0]
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_padding_is_0_and_no_level_below_it(tmp_path):
    model, _ = calibrated(nn.Identity, 5)
    exported, packed = tmp_path / "model.onnx", tmp_path / "pa.onnx"
    paconv.export(model, exported, (3, 16, 16))
    paconv.optimize(exported, packed, fuse=False)
    graph = onnx.load(packed).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    convs = [node for node in graph.node if node.op_type == "PABitConv"]
    signed = 0
    for node in convs:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        names = ("W", "alpha", "v", "sign", "beta", "scale", "bias")
        parameters = dict(zip(names, (constants[name] for name in node.input[1:]), strict=True))
        levels = integer_levels(attributes, parameters).activations
        masks = attributes["level_masks"]
        signed += int(levels.min() < 0)
        assert levels[masks.index(0)] == 0 and parameters["beta"][0] == 0  # no plane is what padding is
        assert (np.diff(levels) > 0).all()
    assert signed == len(convs) - 1  # the one behind the activation without negative values


def test_the_function_body_has_the_levels_of_the_reference(tmp_path):
    quantizer = paconv.nn.PAActivation(5, signed=True).eval()
    paconv.export(nn.Sequential(quantizer, nn.Identity()), tmp_path / "q.onnx", (2, 3, 3), grid=None)
    x = np.array([-9, -0.5, -0.0, 0, 0.3, 9] * 3, np.float32).reshape(1, 2, 3, 3)
    x[0, 0, 0, 0] = quantizer.v[0].item()
    found = paconv.InferenceSession(tmp_path / "q.onnx").run(None, {"input": x})[0]
    levels = quantizer.levels().detach().numpy()
    assert np.array_equal(found, pa_activation(x, quantizer.v.detach().numpy(), levels))
    (node,) = [n for n in onnx.load(tmp_path / "q.onnx").graph.node if n.op_type == "PAActivation"]
    assert len(node.input) == 5

"""Convolutions of classes that other packages derive from nn.Conv2d: plain ones where that is exact, told where not."""

from __future__ import annotations

import json

import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import paconv
from paconv.errors import CheckpointError
from paconv.nn import PAConv2d, conversion_report, convert, convert_from_config
from paconv.nn.plain_conv import NotPlain, plain_conv
from paconv.nn.reading import read


class SameConv(nn.Conv2d):
    """Padded as TensorFlow's "same", by the size of the input: more below and on the right."""

    def forward(self, x):
        pads = []
        for n, k, s, d in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], self.dilation[::-1], strict=True
        ):
            added = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            pads += [added // 2, added - added // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class StandardizedConv(nn.Conv2d):
    """Weights of mean 0 and variance 1 in each filter, with a trained gain."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(torch.full((self.out_channels,), 0.7))

    def forward(self, x):
        rows = self.weight.reshape(1, self.out_channels, -1)
        rows = F.batch_norm(rows, None, None, weight=self.gain, training=True, momentum=0.0, eps=1e-6)
        return F.conv2d(
            x, rows.reshape_as(self.weight), self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class StandardizedSameConv(SameConv):
    """Both."""

    def forward(self, x):
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        before, self._parameters["weight"] = self.weight, nn.Parameter(self.weight - mean)
        made = super().forward(x)
        self._parameters["weight"] = before
        return made


class PaddedFirst(nn.Conv2d):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))

    def forward(self, x):
        return super().forward(self.pad(x))


class Renamed(nn.Conv2d):
    pass


class WithActivation(nn.Conv2d):
    def forward(self, x):
        return F.relu(super().forward(x))


class Dynamic(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight * x.mean(), self.bias)


class Scaled(nn.Conv2d):
    def forward(self, x):
        return super().forward(2 * x)


def network(layer: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), layer, nn.ReLU(), *head).eval()


PLAIN = {
    "same, stride 1": (lambda: SameConv(8, 8, 3), None),
    "same, even kernel": (lambda: SameConv(8, 8, 4, bias=False), None),
    "same, stride 2": (lambda: SameConv(8, 8, 3, 2), (3, 10, 13)),
    "same, dilated": (lambda: SameConv(8, 8, 3, 2, dilation=2), (3, 12, 12)),
    "standardized": (lambda: StandardizedConv(8, 8, 3, padding=1), None),
    "standardized, same": (lambda: StandardizedSameConv(8, 8, 3, 2), (3, 8, 8)),
    "padded first": (lambda: PaddedFirst(8, 8, 3, 2), None),
    "renamed": (lambda: Renamed(8, 8, 3, 2, padding=1, groups=2), None),
    "padding='same'": (lambda: Renamed(8, 8, 4, padding="same"), None),
}


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")
@pytest.mark.parametrize("name", PLAIN)
def test_what_a_derived_class_computes_is_the_plain_convolution_that_takes_its_place(name):
    make, shape = PLAIN[name]
    parent = network(make())
    drawn = torch.get_rng_state()
    model = convert(parent, 4, None, input_shape=shape).eval()
    assert torch.equal(drawn, torch.get_rng_state())
    conv = model[2]
    assert type(conv) is PAConv2d
    conv.weight_quantizer = nn.Identity()  # the rest is to be exact
    x = torch.randn(3, *(shape or (3, 9, 9)), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(x), parent(x))


def test_the_configuration_rebuilds_it_and_the_report_says_what_it_was(tmp_path):
    model = convert(network(StandardizedSameConv(8, 8, 3, 2)), 4, 5, input_shape=(3, 8, 8)).eval()
    config = json.loads(json.dumps(model.paconv_conversion))
    assert config["rewritten"] == {
        "2": {"class": "StandardizedSameConv", "pads": [0, 1, 0, 1], "new_weights": True, "sizes": [[8, 8]]}
    }
    text = str(conversion_report(model))
    assert "was StandardizedSameConv, its weights as they were, 0 zeros left, 1 right, 0 above, 1 below" in text
    assert "for inputs of 8x8" in text
    again = convert_from_config(network(StandardizedSameConv(8, 8, 3, 2)), config).eval()
    again.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(again(x), model(x)) and repr(again) == repr(model)
    with pytest.raises(CheckpointError, match="converts 2, but there it is Conv2d, not StandardizedSameConv"):
        convert_from_config(network(nn.Conv2d(8, 8, 3, 2)), config)
    paconv.save(model, tmp_path / "model.pt", (3, 8, 8))
    loaded = paconv.load(tmp_path / "model.pt", network(StandardizedSameConv(8, 8, 3, 2)))
    assert torch.equal(loaded.eval()(x), model(x))


@pytest.mark.parametrize(
    "change", [{"pads": [0, 1]}, {"pads": [0, 1, -1, 0]}, {"sizes": [[8]]}, {"class": 3}, {"pads": None}]
)
def test_a_configuration_that_pads_otherwise_is_refused(change):
    config = convert(network(SameConv(8, 8, 3, 2)), 4, 5, input_shape=(3, 8, 8)).paconv_conversion
    config["rewritten"]["2"].update(change)
    with pytest.raises(CheckpointError, match="conversion config"):
        convert_from_config(network(SameConv(8, 8, 3, 2)), config)


def test_one_sided_padding_becomes_pads_of_the_node(tmp_path):
    model = convert(network(SameConv(8, 8, 3, 2)), 4, 5, input_shape=(3, 8, 8)).eval()
    paconv.export(model, tmp_path / "model.onnx", (3, 8, 8))
    paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    nodes = onnx.load(tmp_path / "pa.onnx").graph.node
    (conv,) = [node for node in nodes if node.op_type in ("PABitConv", "PALevelConv")]
    assert [list(a.ints) for a in conv.attribute if a.name == "pads"] == [[0, 0, 1, 1]]
    assert not [node for node in nodes if node.op_type == "Pad"]
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok


@pytest.mark.parametrize(
    "layer, reason",
    [
        (WithActivation(8, 8, 3), "WithActivation doesn't end in a convolution"),
        (Dynamic(8, 8, 3), "Dynamic computes its weights from its input"),
        (Scaled(8, 8, 3), "Scaled convolves something else than its input"),
        (
            SameConv(8, 8, 3, 2),
            "SameConv pads by an amount that depends on the size of its input; give convert an input_",
        ),
        (Renamed(8, 8, 3, padding=1, padding_mode="reflect"), "Renamed convolves something else than its input"),
    ],
)
def test_what_is_no_plain_convolution_stays_real_and_the_reason_names_it(layer, reason):
    with pytest.raises(NotPlain, match=reason):
        plain_conv(layer)
    model = nn.Sequential(*network(layer)[:3], nn.Conv2d(8, 8, 1), *network(layer)[3:])
    (kept,) = [kept for kept in conversion_report(convert(model, 4, 5)).kept if kept.name == "2"]
    assert kept.code == "subclass" and kept.reason.startswith(reason)


def test_a_layer_that_pads_two_sizes_differently_is_left_as_it_is():
    with pytest.raises(NotPlain, match="pads inputs of 7x8 and 8x8 by different amounts"):
        plain_conv(SameConv(8, 8, 3, 2), [(8, 8), (7, 8)])


def test_a_scheme_that_pads_both_sides_alike_leaves_such_a_layer_real():
    model = nn.Sequential(*network(SameConv(8, 8, 3, 2))[:3], nn.Conv2d(8, 8, 1), *network(SameConv(8, 8, 3))[3:])
    kept = conversion_report(convert(model, scheme="syq", input_shape=(3, 8, 8))).kept
    assert any("pads opposite sides differently, which SYQ can't" in layer.reason for layer in kept)


def test_a_trace_does_not_look_into_a_layer_of_another_package():
    class Decides(nn.Conv2d):
        def forward(self, x):
            return super().forward(x / 1 if x.sum() > 0 else x)

    reading = read(network(Decides(8, 8, 3)))
    assert reading.how == "traced" and reading.executed == ("0", "2", "6") and "2" in reading.rectified


def test_blocks_with_branches_for_training_are_named_with_what_makes_them_one():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.narrow = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            return self.wide(x) + self.narrow(x)

        def reparameterize(self):
            pass

    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x):
            return self.one(x)

        def fuse(self):
            pass

    report = conversion_report(convert(network(nn.Sequential(Branches(), nn.ReLU(), Fused())), 4, 5))
    assert report.branches == (("2.0", "reparameterize"),)
    assert "2.0: layers side by side, for training; convert after 2.0.reparameterize()" in str(report)

"""Which layers make an output of the model, as a trace and a recorded forward see them; and what is no layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paconv.nn import conversion_report, convert, convert_from_config
from paconv.nn.reading import read


class Net(nn.Module):
    """A stem, a body, and whatever `tail` makes of the layers `heads` and the body's result."""

    def __init__(self, tail, traceable: bool = True, **heads: nn.Module):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        for name, head in heads.items():
            setattr(self, name, head)
        self.tail, self.traceable = tail, traceable

    def forward(self, x):
        if not self.traceable and x.sum() > 1e9:
            x = x / 2
        return self.tail(self, F.relu(self.body(F.relu(self.stem(x)))))


def conv(channels_in: int = 8, channels_out: int = 8) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def projection(trained: bool = False) -> nn.Conv2d:
    """The expected value of a distribution over 0..7, as detectors with a distribution focal loss have it."""
    made = nn.Conv2d(8, 1, 1, bias=False).requires_grad_(trained)
    made.weight.data[:] = torch.arange(8.0).view(1, 8, 1, 1)
    return made


TAILS = {
    "two outputs": (lambda m, x: (m.a(x), m.b(x)), {"a": conv(), "b": conv()}, {"a", "b"}),
    "joined": (
        lambda m, x: torch.cat([m.a(x).flatten(2), m.b(x).flatten(2)], 1),
        {"a": conv(), "b": conv()},
        {"a", "b"},
    ),
    "in a dict": (
        lambda m, x: {"a": m.a(x).sigmoid(), "b": m.b(F.relu(m.a(x)))},
        {"a": conv(), "b": conv()},
        {"a", "b"},
    ),
    "one after the other": (lambda m, x: m.b(F.relu(m.a(x))), {"a": conv(), "b": conv()}, {"b"}),
    "linear": (lambda m, x: m.b(m.a(x).mean((2, 3))), {"a": conv(), "b": nn.Linear(8, 2)}, {"b"}),
    "projected": (
        lambda m, x: (m.projection(m.a(x).softmax(1)), m.b(x)),
        {"a": conv(), "b": conv(), "projection": projection()},
        {"a", "b"},
    ),
    "trained projection": (lambda m, x: m.b(m.a(x)), {"a": conv(), "b": projection(trained=True)}, {"b"}),
    "resized to another": (
        lambda m, x: F.interpolate(m.b(F.max_pool2d(x, 2)), size=m.a(x).shape[2:]),
        {"a": conv(), "b": conv()},
        {"b"},
    ),
    "residual stream": (lambda m, x: (y := x + m.a(x)) + m.b(F.relu(y)), {"a": conv(), "b": conv()}, {"b"}),
    "dense stream": (
        lambda m, x: torch.cat([y := torch.cat([x, m.a(x)], 1), m.b(y)], 1),
        {"a": conv(), "b": conv(16)},
        {"b"},
    ),
    "side outputs": (
        lambda m, x: (m.a(x), m.b(x), m.c(m.a(x) + m.b(x))),
        {"a": conv(), "b": conv(), "c": conv()},
        {"a", "b", "c"},
    ),
}


@pytest.mark.parametrize("traceable", [True, False], ids=["traced", "recorded"])
@pytest.mark.parametrize("name", TAILS)
def test_the_heads_are_the_layers_that_an_output_comes_from(name, traceable):
    tail, heads, expected = TAILS[name]
    reading = read(Net(tail, traceable, **heads), (3, 8, 8))
    assert reading.how == ("traced" if traceable else "recorded")
    assert reading.heads == expected


def test_all_heads_of_a_detector_stay_real_and_a_constant_convolution_is_none():
    tail, heads, _ = TAILS["projected"]
    model = convert(Net(tail, **heads), 4, 5)
    kept = {layer.name: (layer.code, layer.reason) for layer in conversion_report(model).kept}
    assert {name: code for name, (code, _) in kept.items()} == {
        "stem": "first-layer",
        "a": "last-layer",
        "b": "last-layer",
        "projection": "constant",
    }
    assert "a layer that makes an output of the model stays real (last='pa' converts it)" in kept["a"][1]
    assert kept["projection"][1] == "its weights are constants, not trained ones"
    plan = convert(Net(tail, **heads), 4, 5, last="pa").paconv_conversion["plan"]
    assert list(plan) == ["body", "a", "b"]


def test_learned_weights_that_are_frozen_are_no_constants():
    tail, heads, _ = TAILS["one after the other"]
    model = convert(Net(tail, **heads).requires_grad_(False), 4, 5)
    assert list(model.paconv_conversion["plan"]) == ["body", "a"]


def test_a_weight_that_is_a_buffer_is_a_constant():
    fixed = nn.Conv2d(8, 8, 1, bias=False)
    weight = fixed.weight.detach()
    del fixed.weight
    fixed.register_buffer("weight", weight)
    model = convert(Net(lambda m, x: m.b(m.a(x)), a=fixed, b=conv()), 4, 5)
    assert {layer.name: layer.code for layer in conversion_report(model).kept}["a"] == "constant"


def test_a_configuration_that_converts_what_is_a_head_today_is_rebuilt_as_it_was():
    tail, heads, _ = TAILS["two outputs"]
    config = convert(Net(tail, **heads), 4, 5).paconv_conversion
    config["plan"]["a"] = "a"
    config["kept"] = [layer for layer in config["kept"] if layer["name"] != "a"]
    config["signed_activations"].append("a")
    again = convert_from_config(Net(tail, **heads), config)
    assert list(again.paconv_conversion["plan"]) == ["body", "a"] and again.a.activation is not None

"""Which operations leave nothing negative, as torch.fx and a recorded forward see them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paconv.nn.reading import read
from tests.nn.test_rectified import RECTIFIED, Between

NON_NEGATIVE = {
    **RECTIFIED,
    "sigmoid": torch.sigmoid,
    "Sigmoid": nn.Sigmoid(),
    "hardsigmoid": F.hardsigmoid,
    "softplus": F.softplus,
    "Softmax": nn.Softmax(1),
    "abs": torch.abs,
    "clamp at 1": lambda x: x.clamp(min=1.0),
    "sum": lambda x: F.relu(x) + torch.sigmoid(x),
    "product": lambda x: F.relu(x) * torch.sigmoid(x) * 0.5,
    "gate": lambda x: F.relu(x) * torch.sigmoid(F.relu(x).mean((2, 3), keepdim=True)),
    "resized": lambda x: F.interpolate(F.relu(x), scale_factor=2.0),
    "padded": lambda x: F.pad(F.relu(x), (1, 1, 1, 1)),
    "Upsample": nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear")),
}

MAYBE_NEGATIVE = {
    "nothing": nn.Identity(),
    "silu": F.silu,
    "hardswish": F.hardswish,
    "leaky": F.leaky_relu,
    "batch norm": nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8)),
    "difference": lambda x: F.relu(x) - torch.sigmoid(x),
    "lowered": lambda x: F.relu(x) + (-1.0),
    "turned": lambda x: F.relu(x) * -1.0,
    "sum with any": lambda x: F.relu(x) + x,
    "padded below": lambda x: F.pad(F.relu(x), (1, 1, 1, 1), value=-1.0),
    "bicubic": lambda x: F.interpolate(F.relu(x), scale_factor=2.0, mode="bicubic"),
}

OPERATIONS = [
    *(pytest.param(operation, True, id=name) for name, operation in NON_NEGATIVE.items()),
    *(pytest.param(operation, False, id=f"not: {name}") for name, operation in MAYBE_NEGATIVE.items()),
]


@pytest.mark.parametrize("traceable", [True, False], ids=["traced", "recorded"])
@pytest.mark.parametrize("operation, nonnegative", OPERATIONS)
def test_an_operation_leaves_nothing_negative_or_may(operation, nonnegative, traceable):
    reading = read(Between(operation, traceable), input_shape=(3, 8, 8))
    assert reading.how == ("traced" if traceable else "recorded")
    assert ("conv" in reading.nonnegative) == nonnegative
    assert reading.rectified <= reading.nonnegative and "stem" not in reading.nonnegative


@pytest.mark.parametrize("operation", NON_NEGATIVE.values(), ids=NON_NEGATIVE)
def test_what_is_taken_for_non_negative_is(operation):
    x = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0)) - 1
    assert (operation(x) >= 0).all()

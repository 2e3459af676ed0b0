"""Which convolutions read what a ReLU left: the same answer from a trace and from a forward."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paconv.nn.reading import read


class Between(nn.Module):
    """stem, `operation`, conv, head."""

    def __init__(self, operation, traceable: bool):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.operation = operation
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)
        self.traceable = traceable

    def forward(self, x):
        if not self.traceable and x.sum() > 1e9:
            x = x / 2
        return self.head(self.conv(self.operation(self.stem(x))).mean((2, 3)))


def joined(left, right):
    return torch.cat([left, right], 1)


def halves_exchanged(x):
    left, right = x.chunk(2, 1)
    return joined(right, left)


RECTIFIED = {
    "relu": F.relu,
    "torch.relu": torch.relu,
    "x.relu": lambda x: x.relu(),
    "x.relu_": lambda x: x.relu_(),
    "ReLU": nn.ReLU(),
    "ReLU in place": nn.ReLU(inplace=True),
    "relu6": F.relu6,
    "ReLU6": nn.ReLU6(inplace=True),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 1.0),
    "Hardtanh": nn.Hardtanh(0, 4),
    "clamp": lambda x: torch.clamp(x, 0),
    "clamp min=0": lambda x: torch.clamp(x, min=0),
    "x.clamp": lambda x: x.clamp(0, 6),
    "x.clip": lambda x: x.clip(min=0.0),
    "x.clamp_min": lambda x: x.clamp_min(0),
    "modules after": nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Dropout(), nn.Identity()),
    "functions after": lambda x: F.dropout(F.avg_pool2d(F.max_pool2d(F.relu(x), 2), 2), training=False),
    "moved": lambda x: F.relu(x).transpose(1, 2).contiguous().view(1, 8, 8, 8),
    "halves": lambda x: halves_exchanged(F.relu(x)),
    "joined": lambda x: joined(F.relu(x[:, :4]), torch.relu(x[:, 4:])),
}

NOT_RECTIFIED = {
    "nothing": nn.Identity(),
    "batch norm": nn.BatchNorm2d(8),
    "batch norm after": nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8)),
    "leaky": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "Hardtanh": nn.Hardtanh(),
    "hardtanh": F.hardtanh,
    "clamp at -1": lambda x: torch.clamp(x, -1, 1),
    "clamp from above": lambda x: x.clamp(max=0),
    "pool": lambda x: F.max_pool2d(x, 2),
    "sum": lambda x: F.relu(x) + x,
    "changed in place": lambda x: F.relu(x).sub_(1),
    "one of two": lambda x: joined(F.relu(x[:, :4]), x[:, 4:]),
}

OPERATIONS = [
    *(pytest.param(operation, True, id=name) for name, operation in RECTIFIED.items()),
    *(pytest.param(operation, False, id=f"not: {name}") for name, operation in NOT_RECTIFIED.items()),
]


@pytest.mark.parametrize("traceable", [True, False], ids=["traced", "recorded"])
@pytest.mark.parametrize("operation, rectified", OPERATIONS)
def test_an_operation_leaves_what_a_relu_leaves_or_not(operation, rectified, traceable):
    reading = read(Between(operation, traceable), input_shape=(3, 8, 8))
    assert reading.how == ("traced" if traceable else "recorded")
    assert ("conv" in reading.rectified) == rectified
    assert "stem" not in reading.rectified


@pytest.mark.parametrize("operation", RECTIFIED.values(), ids=RECTIFIED)
def test_what_is_taken_for_the_output_of_a_relu_is_never_negative_and_sometimes_zero(operation):
    y = operation(torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0)) - 1)
    assert (y >= 0).all() and (y == 0).any()


def test_an_input_called_relu_is_none():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, relu):
            return self.conv(relu)

    assert read(Net()).rectified == frozenset()


def test_a_layer_that_runs_twice_has_to_read_a_relu_twice():
    class Net(nn.Module):
        def __init__(self, first):
            super().__init__()
            self.stem, self.conv, self.first = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), first

        def forward(self, x):
            return self.conv(F.relu(self.conv(self.first(self.stem(x)))))

    assert read(Net(nn.ReLU())).rectified == {"conv"}
    assert read(Net(nn.BatchNorm2d(8))).rectified == frozenset()


def test_without_a_trace_and_a_forward_nothing_is_known():
    assert read(Between(F.relu, traceable=False)).rectified == frozenset()

"""Numbers that aren't finite stop a training at once, and the layer where they began is named."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import paconv
from paconv.errors import TrainingError
from paconv.train import Settings, fit
from tests.train.joint_fit import small_source


class Net(nn.Module):
    """`spoil`: what happens to the tensor between conv1 and conv2."""

    def __init__(self, spoil=lambda x: x):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 4)
        self.spoil = spoil

    def forward(self, x):
        x = self.norm(self.conv1(F.relu(self.stem(x))))
        if self.training:
            x = self.spoil(x)
        return self.fc(self.conv2(F.relu(x)).mean((2, 3)))


def message(model: nn.Module, **settings) -> str:
    with pytest.raises(TrainingError) as raised:
        fit(model, small_source(), Settings(1, batch_size=16, **settings))
    return str(raised.value)


def test_a_weight_that_is_not_finite_is_named():
    model = Net()
    with torch.no_grad():
        model.conv2.weight[0, 0, 0, 0] = torch.nan
    assert message(model).startswith("epoch 1, step 1: conv2.weight holds values that aren't finite")


def test_a_layer_whose_output_is_not_finite_is_named():
    class Root(nn.Module):
        def forward(self, x):
            return torch.sqrt(x - 1e9)

    model = Net()
    model.norm = nn.Sequential(model.norm, Root())
    assert "the output of norm.1 (Root) isn't finite" in message(model)


def test_a_quantizer_does_not_hide_a_nan():
    """PA(NaN) = 0: loss and gradients behind it are finite."""
    model = paconv.convert(Net(lambda x: torch.where(x > x.median(), torch.nan, x)), M=4, N=5, input_shape=(1, 8, 8))
    assert "what conv2 (PAConv2d) reads isn't finite" in message(model)


def test_a_gradient_that_is_not_finite_is_named_though_the_loss_is_finite():
    model = Net(lambda x: x + 0 * torch.sqrt(x - x))  # the derivative of a root at 0, times 0
    assert "the gradient of norm (BatchNorm2d)'s" in message(model)


def test_a_learning_rate_that_is_too_large_is_found_out():
    assert "epoch 1, step" in message(Net(), optimizer="sgd", lr=1e6)


def test_nothing_is_saved_of_the_step_that_failed(tmp_path):
    class FromThirdStep:
        count = 0

        def __call__(self, x):
            self.count += 1
            return x * (torch.nan if self.count > 2 else 1)

    with pytest.raises(TrainingError, match="epoch 1, step 3"):
        fit(Net(FromThirdStep()), small_source(), Settings(1, batch_size=16), output=tmp_path, checkpoint_steps=1)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 2
    assert all(tensor.isfinite().all() for tensor in state["model"].values())

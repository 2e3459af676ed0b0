"""Starting values from data."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

import paconv
from paconv.errors import UsageError
from paconv.gaussian import half_gaussian_quantizer
from paconv.models import digits_resnet
from paconv.nn import PAActivation, calibrate, convert, settle_batch_norm
from paconv.nn.schemes.abc_net import ABCActivation
from tests.nn.networks import FunctionalResNet
from tests.test_gaussian import normal_quantiles

calibration = sys.modules["paconv.nn.calibrate"]  # paconv.nn.calibrate is the function


def calibrated(N: int, x: torch.Tensor) -> tuple[PAActivation, object]:
    quantizer = PAActivation(N).to(x.dtype)
    (outcome,) = calibrate(nn.Sequential(quantizer), [x])
    return quantizer, outcome


@pytest.mark.parametrize("N", [1, 5, 7])
def test_gaussian_data_give_the_gaussian_quantizer_times_their_scale(N):
    q, outcome = calibrated(N, 3 * normal_quantiles(200_000))
    v, beta = half_gaussian_quantizer(N)
    # Lloyd-Max stops where the 100 000 points stop moving between pieces, a few hundredths of a std from the limit.
    assert outcome.unit == pytest.approx(3, rel=1e-3) and outcome.positive == 100_000
    assert (q.v / 3).tolist() == pytest.approx(v, abs=0.02)
    assert (q.beta / 3).tolist() == pytest.approx(beta, abs=0.02)


def test_each_level_is_the_mean_of_the_data_it_stands_for():
    x = torch.rand(5000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, _ = calibrated(4, x)
    level = (x[:, None] >= q.v).sum(-1)
    for j in range(1, 5):
        assert q.beta[j - 1].item() == pytest.approx(x[level == j].mean().item(), rel=1e-12)


@pytest.mark.parametrize(
    "x, unit", [(torch.zeros(9), 1.0), (-2 * torch.ones(9), 2.0), (torch.tensor([float("nan")]), 1.0)]
)
def test_an_input_that_is_never_positive_keeps_the_default_scaled_and_says_so(x, unit):
    q, outcome = calibrated(5, x)
    assert outcome.positive == 0 and "never positive" in str(outcome)
    assert q.v.tolist() == pytest.approx([unit * c for c in half_gaussian_quantizer(5)[0]], rel=2**-22)


def test_fewer_values_than_levels_still_give_admissible_endpoints():
    q, _ = calibrated(5, torch.tensor([1.0, 1.0, 2.0]))
    assert q.v[0] > 0 and (q.v.diff() > 0).all() and q.v.isfinite().all()
    assert q(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_infinite_and_nan_inputs_are_left_out():
    x = torch.tensor([1.0, 2.0, 3.0, float("inf"), float("nan")])
    q, outcome = calibrated(3, x)
    assert outcome.positive == 3 and q.v.isfinite().all() and q.beta.isfinite().all()


def test_every_quantizer_is_calibrated_once_in_running_order_on_its_quantized_input():
    model = convert(FunctionalResNet(), 4, 5).train()
    x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    settle_batch_norm(model, [x])
    seen = {}
    outcomes = calibrate(model, [x[:4], x[4:]])
    assert [o.name for o in outcomes] == [
        "block1.a.activation",
        "block1.b.activation",
        "block2.shortcut.activation",
        "block2.b.activation",
    ]
    for name, module in model.named_modules():
        if isinstance(module, PAActivation):
            module.register_forward_pre_hook(lambda m, args, n=name: seen.setdefault(n, args[0]))
    model.eval()(x)
    for outcome in outcomes:  # a second look at the same input finds the same scale
        positive = seen[outcome.name][seen[outcome.name] > 0].double()
        assert positive.numel() == outcome.positive
        assert positive.square().mean().sqrt().item() == pytest.approx(outcome.unit, rel=1e-12)


def test_calibration_is_repeatable_and_leaves_modes_and_hooks_as_they_were():
    x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        model = convert(FunctionalResNet(), 4, 5).train()
        model.block1.eval()
        calibrate(model, [x])
        assert model.training and not model.block1.a.training and model.block2.a.training
        assert not any(module._forward_pre_hooks for module in model.modules())
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_settled_batch_norms_hold_the_statistics_of_the_data():
    norm = nn.BatchNorm2d(3, momentum=0.3)
    x = torch.randn(3, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 + 1
    model = nn.Sequential(norm).train()
    settle_batch_norm(model, x)
    mean = x.double().mean((0, 1, 3, 4))
    assert norm.running_mean.tolist() == pytest.approx(mean.tolist(), rel=1e-5)  # float32 sums of 300 terms
    variance = torch.stack([batch.double().var((0, 2, 3)) for batch in x]).mean(0)
    assert norm.running_var.tolist() == pytest.approx(variance.tolist(), rel=1e-5)
    assert norm.momentum == 0.3 and norm.training


def test_no_batches_are_refused():
    model = convert(FunctionalResNet(), 4, 5)
    with pytest.raises(UsageError, match="at least one batch"):
        calibrate(model, [])
    with pytest.raises(UsageError, match="at least one batch"):
        settle_batch_norm(model, [])


class Fusion(nn.Module):
    """Two inputs, each with a stem and a batch norm."""

    def __init__(self):
        super().__init__()
        self.norm_x, self.norm_y = nn.BatchNorm2d(2), nn.BatchNorm2d(3)
        self.pa_x, self.pa_y = PAActivation(3), PAActivation(3)

    def forward(self, x, y):
        return self.pa_x(self.norm_x(x)).sum() + self.pa_y(self.norm_y(y)).sum()


def test_batches_of_several_inputs_are_tuples():
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(2, 4, 2, 5, 5, generator=generator) + 1
    y = torch.randn(2, 4, 3, 5, 5, generator=generator)
    model = Fusion()
    settle_batch_norm(model, zip(x, y, strict=True))
    for norm, data in ((model.norm_x, x), (model.norm_y, y)):
        mean = data.double().mean((0, 1, 3, 4))
        assert norm.running_mean.tolist() == pytest.approx(mean.tolist(), rel=1e-5, abs=1e-6)  # sums of 200 floats
    outcomes = calibrate(model, zip(x, y, strict=True))
    assert [outcome.name for outcome in outcomes] == ["pa_x", "pa_y"]
    for outcome, norm, data in zip(outcomes, (model.norm_x, model.norm_y), (x, y), strict=True):
        with torch.no_grad():
            assert outcome.positive == int((norm(torch.cat(list(data))) > 0).sum())


@pytest.mark.parametrize("batches", [[3], [(torch.zeros(2, 1), 3)], [()], [{"x": 1}]], ids=str)
def test_what_is_no_batch_is_refused(batches):
    model = nn.Sequential(PAActivation(3))
    for function in (calibrate, settle_batch_norm):
        with pytest.raises(UsageError, match="batches: expected tensors or tuples of tensors"):
            function(model, batches)


def test_batches_of_different_numbers_of_inputs_are_refused():
    x = torch.zeros(2, 1)
    with pytest.raises(UsageError, match="batches of as many inputs each; found some of 1 and of 2"):
        calibrate(nn.Sequential(PAActivation(3)), [x, (x, x)])


def test_a_scheme_that_moves_the_mean_is_calibrated_with_the_statistics_of_the_samples():
    """ABC-Net's shifts would add up otherwise, and endpoints lie where no activation is in training."""
    torch.manual_seed(0)
    parent = digits_resnet()
    settle_batch_norm(parent, [torch.randn(64, 1, 8, 8)])
    model = paconv.convert(parent, scheme="abc")
    before = {name: value.clone() for name, value in model.state_dict().items() if "bn" in name}
    images = torch.randn(256, 1, 8, 8)
    calibrate(model, [images])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items() if "bn" in name)
    endpoints = [0.5 - module.v for module in model.modules() if isinstance(module, ABCActivation)]
    # Activations behind a batch norm have variance 1; the five endpoints of a half Gaussian are below 2.1.
    assert len(endpoints) == 6 and all(0 < v.min() and v.max() < 4 for v in endpoints)


class Pyramid(nn.Module):
    """One head on images of several sizes and scales, and a quantizer behind it that runs once."""

    def __init__(self, scales):
        super().__init__()
        self.scales = scales
        self.head, self.last = PAActivation(3), PAActivation(2)

    def forward(self, x):
        made = [self.head(scale * x[..., : x.shape[-1] >> level]) for level, scale in enumerate(self.scales)]
        return self.last(torch.cat(made, -1) + 1)


def test_a_quantizer_that_runs_on_several_tensors_is_set_from_all_of_them():
    x = torch.rand(4, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    several, one = Pyramid((1, 3, 9)).double(), PAActivation(3).double()
    found = calibrate(several, [x])
    joint = torch.cat([x.flatten(), 3 * x[..., :32].flatten(), 9 * x[..., :16].flatten()])
    (alone,) = calibrate(nn.Sequential(one), [joint])
    assert [each.name for each in found] == ["head", "last"]
    assert (found[0].positive, found[0].unit) == (alone.positive, pytest.approx(alone.unit, rel=1e-12))
    assert several.head.v.tolist() == pytest.approx(one.v.tolist(), rel=1e-6)  # lloyd_max sums in another order
    # What runs once sees what the final head makes, as in a forward after it.
    seen = []
    several.last.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    several(x)
    assert found[1].unit == pytest.approx(seen[0].square().mean().sqrt().item(), rel=1e-12)


def test_a_module_that_runs_on_zeros_first_is_set_from_what_follows():
    x = torch.rand(4, 32, 32, generator=torch.Generator().manual_seed(0))
    model = Pyramid((0, 1))
    head, _ = calibrate(model, [x])
    assert head.positive == 4 * 32 * 16 and "never positive" not in str(head)
    assert 0 < model.head.v[0] < model.head.v[-1] < 1


def test_each_tensor_weighs_by_its_size_where_only_samples_are_taken(monkeypatch):
    monkeypatch.setattr(calibration, "_SAMPLE", 1000)
    x = torch.rand(4, 64, 64, generator=torch.Generator().manual_seed(0))
    model = Pyramid((1, 8))
    head, _ = calibrate(model, [x])
    exact = torch.cat([x.flatten(), 8 * x[..., :32].flatten()]).double().square().mean().sqrt().item()
    # 1500 values, whose squares deviate by 1.7 of their mean: 4.4 % of it, half of that of the root; four of those.
    assert head.unit == pytest.approx(exact, rel=0.09)


def test_convolutions_that_read_one_tensor_count_it_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.pa = PAActivation(3)

        def forward(self, x):
            return self.pa(x) + self.pa(x.relu())

    x = torch.randn(100, generator=torch.Generator().manual_seed(0))
    (found,) = calibrate(model := Twice(), [x])
    (alone,) = calibrate(nn.Sequential(one := PAActivation(3)), [x])
    assert (found.positive, found.unit) == (alone.positive, alone.unit) and torch.equal(model.pa.v, one.v)


def test_a_wrapped_model_is_calibrated_by_its_own_scheme():
    torch.manual_seed(0)
    parent, images = digits_resnet(), torch.randn(64, 1, 8, 8)
    models = [paconv.convert(parent, scheme="abc") for _ in range(2)]
    assert calibrate(models[0], [images]) == calibrate(nn.DataParallel(models[1]), [images])

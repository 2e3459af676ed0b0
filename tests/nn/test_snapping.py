"""`snap_`: in eval mode levels are integers times a unit, in training they are what they were."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import paconv
from paconv.errors import CheckpointError, UsageError
from paconv.grid import MOST_ACTIVATION, MOST_WEIGHT, integers_of
from paconv.models import digits_resnet
from paconv.nn import PAActivation, PAConv2d, PAWeight, calibrate, convert, freeze_, level_report, snap_
from paconv.nn.quantizer import ActivationQuantizer, SteppedWeight
from paconv.nn.schemes import SCHEMES
from paconv.nn.snapping import WIDE_ERROR
from tests.effort import examples
from tests.nn.networks import PreActivation

BY_NATURE = {"xnor", "bireal", "bwn", "twn", "dorefa", "syq", "groupnet", "groupnet_layerwise"}


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 9, 8, generator=torch.Generator().manual_seed(3))


def trained(scheme: str = "pa", **options) -> nn.Module:
    """Eval mode; batch norms that have seen data, levels that belong to no distribution."""
    torch.manual_seed(1)
    model = convert(PreActivation(), scheme=scheme, **options)
    calibrate(model, [images()])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("beta", "positive", "negative", "scale")):
                parameter.mul_(1 + 0.3 * torch.rand(parameter.shape))
    model.train()(images())
    return model.eval()


@pytest.fixture
def model() -> nn.Module:
    return trained()


def integers(levels: Tensor, most: int) -> np.ndarray:
    grid = integers_of(levels.detach().numpy(), most)
    assert grid is not None, levels
    assert np.array_equal((grid.unit * grid.integers).astype(np.float32), levels.detach().numpy())
    return grid.integers


def states(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@settings(max_examples=examples(60), deadline=None)
@given(
    M=st.sampled_from([2, 4, 6, 8]),
    N=st.integers(1, 8),
    grid=st.sampled_from([(15, 31), (7, 15), (1, 1), (127, 255), "default"]),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([1e-6, 1.0, 300.0]),
    skew=st.floats(-1, 1),
)
def test_any_pa_layer_has_levels_on_the_grid_and_its_forward_gives_these(M, N, grid, seed, scale, skew):
    draw = torch.Generator().manual_seed(seed)
    conv = PAConv2d(3, 4, 3, weight_quantizer=PAWeight(M), activation=PAActivation(N), bias=False)
    with torch.no_grad():
        conv.weight.copy_(scale * (torch.randn(conv.weight.shape, generator=draw) + skew))
        conv.activation.beta.mul_(scale * (0.5 + torch.rand(N, generator=draw)))
    raw = conv.weight_quantizer.endpoints_and_levels(conv.weight)[1]
    report = snap_(conv.eval(), grid)
    A, B = {"default": (15, 63 if N == 8 else 31)}.get(grid, grid)
    u, alpha = conv.weight_quantizer.endpoints_and_levels(conv.weight)
    beta = conv.activation.levels()
    assert np.abs(integers(alpha, A)).max() <= A
    l = integers(beta, B)
    assert l[0] == 0 and alpha[M // 2] == 0 and (l >= 0).all()
    assert [layer.most for layer in report.layers] == [A, B]

    with torch.no_grad():
        W_bar, x = conv.weight_quantizer(conv.weight), 2 * torch.randn(200, generator=draw)
        assert torch.equal(W_bar, alpha[torch.bucketize(conv.weight, u)])
        x[:3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
        piece = (x[:, None] >= conv.activation.v).sum(1)
        assert torch.equal(conv.activation(x), beta[piece])
    assert torch.equal(conv.train().weight_quantizer.endpoints_and_levels(conv.weight)[1], raw)


def test_training_goes_on_as_without_a_grid(model):
    snapped = copy.deepcopy(model)
    snap_(snapped, (3, 5))
    x, found = images(), []
    for each in (model.train(), snapped.train()):
        logits = each(x)
        logits[:, 0].sum().backward()
        found.append((logits, {name: p.grad for name, p in each.named_parameters()}))
    (plain, gradients), (on_grid, same) = found
    assert torch.equal(plain, on_grid) and equal(gradients, same)
    assert not torch.equal(model.eval()(x), snapped.eval()(x))


@pytest.mark.parametrize("scheme", ["pa", "abc", "lqnet"])
def test_in_eval_mode_quantizers_have_the_gradients_of_the_levels_off_the_grid(scheme):
    found = []
    for grid in (None, (3, 5)):
        model = trained(scheme)
        snap_(model, grid)
        x = images().repeat(1, 3, 1, 1)[:, :8].requires_grad_()
        values = model.a.activation(x), model.a.weight_quantizer(model.a.weight)
        for value in values:
            (value * torch.linspace(-1, 1, value.numel()).view(value.shape)).sum().backward()
        gradients = {"x": x.grad, **{name: p.grad for name, p in model.a.named_parameters() if p.grad is not None}}
        found.append((values, gradients))
    (plain, gradients), (on_grid, same) = found
    assert all(not torch.equal(a, b) for a, b in zip(plain, on_grid, strict=True))
    assert equal(gradients, same) and {"x", "weight"} <= gradients.keys()


def test_taken_off_the_grid_it_is_what_it_was_bit_for_bit(model):
    before, x = states(model), images()
    plain = model(x)
    snap_(model, batches=[x])
    assert not torch.equal(model(x), plain)
    assert str(snap_(model, None)) == "real levels, on no grid"
    assert equal(states(model), before) and torch.equal(model(x), plain)


def test_parameters_and_statistics_stay_and_the_mode_too(model):
    before = states(model)
    model.train()
    model.norm_a.eval()
    modes = [module.training for module in model.modules()]
    snap_(model, batches=[images()])
    assert [module.training for module in model.modules()] == modes
    after = states(model)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    grid = ("weight_quantizer.most", "activation.most", "activation.counts")
    added = {f"{layer}.{name}" for layer in "ab" for name in grid}
    assert after.keys() - before.keys() == added


def test_snapping_twice_is_snapping_once(model):
    report = snap_(model, batches=[images()])
    once, x = states(model), images()
    logits = model(x)
    assert snap_(model, batches=[images()]) == report
    assert equal(states(model), once) and torch.equal(model(x), logits)
    snap_(model, (7, 15), batches=[images()])
    assert snap_(model, (15, 31)) == report, "levels are counted once, and snapped from the trained ones"


def test_activation_levels_count_as_often_as_they_occur(model):
    seen: list[Tensor] = []
    handle = model.a.activation.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(images())
    handle.remove()
    report = snap_(model, batches=[images()[:3], (images()[3:],)])
    assert report.counted and model.a.activation.counts.sum() == seen[0].numel()
    for level, count in enumerate(model.a.activation.counts):
        assert count == (model.a.activation.pieces(seen[0]) == level).sum()


def test_without_samples_activations_are_normal(model):
    quantizer = model.a.activation
    report = snap_(model)
    assert report.counted is False and "activations taken to be normally distributed" in str(report)
    x = quantizer.unit * torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    shares = torch.bincount(quantizer.pieces(x).long(), minlength=6) / len(x)
    expected = quantizer.occurrences() / quantizer.occurrences().sum()
    assert (shares - expected).abs().max() < 5 * (0.25 / len(x)) ** 0.5  # five standard errors


def test_the_report_tells_the_error_of_each_layer(model):
    report = snap_(model, (7, 15), batches=[images()])
    assert [(layer.name, layer.kind, layer.most) for layer in report.layers] == [
        ("a", "weights", 7), ("a.activation", "activations", 15),
        ("b", "weights", 7), ("b.activation", "activations", 15),
    ]  # fmt: skip
    u, snapped = model.a.weight_quantizer.endpoints_and_levels(model.a.weight)
    exact = model.train().a.weight_quantizer.endpoints_and_levels(model.a.weight)[1]
    piece = torch.bucketize(model.a.weight.detach(), u)
    error = (snapped - exact)[piece].norm() / exact[piece].norm()
    assert abs(report.layers[0].error - error.item()) < 1e-6
    assert report.worst.error == max(layer.error for layer in report.layers) > 0
    assert str(report).startswith("levels snapped to integers (7, 15): largest relative error ")
    assert report.worst.name in str(report)
    assert report.as_data()["layers"][0]["error"] == report.layers[0].error
    assert level_report(model) == report


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_on_a_grid_by_nature_or_snapped(scheme):
    model = trained(scheme)
    plain = {name: layer for name, layer in model.named_modules() if isinstance(layer, ActivationQuantizer)}
    x = images()
    before = model(x)
    report = snap_(model, batches=[x])
    assert all(layer.by_nature == (scheme in BY_NATURE) for layer in report.layers)
    assert torch.equal(model(x), before) == (scheme in BY_NATURE)
    if scheme in BY_NATURE:
        assert str(report) == "levels that are integers times a unit as published"
        assert not any(name.endswith((".most", ".counts")) for name in model.state_dict())
    for layer in report.layers:
        limit = MOST_WEIGHT if layer.kind == "weights" else MOST_ACTIVATION
        assert layer.most <= limit and layer.error <= (0.05 if scheme == "pa" else WIDE_ERROR)
    freeze_(model)
    for quantizer in plain.values():
        if scheme != "pa":
            negative = (quantizer.frozen_levels < 0).any()
            most = MOST_WEIGHT if negative else MOST_ACTIVATION
            integers(quantizer.frozen_beta, most)
            integers(quantizer.frozen_levels, most)
    for quantizer in model.modules():
        if isinstance(quantizer, SteppedWeight):
            for row in quantizer.alpha:
                integers(row, MOST_WEIGHT)
            for row in quantizer.levels.flatten(0, 3):
                integers(row, MOST_WEIGHT)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("dorefa", {"M": 4, "N": 8}),
        ("dorefa", {"M": 3, "N": 5}),
        ("syq", {"M": 2, "N": 8}),
        ("xnor", {"input_scaling": False}),
    ],
)
def test_more_planes_of_even_levels_are_on_a_grid_too(scheme, options):
    report = snap_(trained(scheme, **options), (1, 1))
    assert all(layer.by_nature and not layer.error for layer in report.layers)


@pytest.mark.parametrize(
    ("scheme", "options"), [("abc", {"M": 8, "N": 8}), ("lqnet", {"M": 4, "N": 4}), ("abc", {"M": 1, "N": None})]
)
def test_sums_of_many_planes_are_snapped_to_8_bits_where_they_need_them(scheme, options):
    model = trained(scheme, **options)
    report = snap_(model)
    assert all(layer.error <= WIDE_ERROR or layer.most >= MOST_WEIGHT for layer in report.layers)
    wanted = snap_(model, (5, 9))
    assert {layer.most for layer in wanted.snapped} <= {5, 9}, "what is asked for is what there is"


def test_a_checkpoint_brings_the_grid_back_bit_for_bit(model, tmp_path):
    snap_(model, batches=[images()])
    paconv.save(model, tmp_path / "model.pt")
    again = paconv.load(tmp_path / "model.pt", PreActivation)
    assert equal(states(again), states(model)) and torch.equal(again(images()), model(images()))
    assert level_report(again) == level_report(model)


def test_a_checkpoint_of_the_zoo_keeps_its_architecture_with_a_grid_and_without(tmp_path):
    torch.manual_seed(0)
    model = digits_resnet(M=4, N=8, width=4).eval()
    paconv.save(model, tmp_path / "plain.pt", (1, 8, 8))
    snap_(model)
    paconv.save(model, tmp_path / "snapped.pt", (1, 8, 8))
    x = torch.randn(2, 1, 8, 8)
    plain, snapped = (paconv.load(tmp_path / f"{name}.pt") for name in ("plain", "snapped"))
    assert torch.equal(snapped(x), model(x)) and {layer.most for layer in level_report(snapped).layers} == {15, 63}
    snap_(model, None)
    assert torch.equal(plain(x), model(x)) and not level_report(plain).snapped


def test_what_is_loaded_decides_whether_there_is_a_grid(model):
    plain = model.state_dict()
    snapped = copy.deepcopy(model)
    snap_(snapped)
    model.load_state_dict(snapped.state_dict())
    assert level_report(model).snapped
    model.load_state_dict(plain)
    assert not level_report(model).snapped


@pytest.mark.parametrize("name", ["a.activation.most", "a.activation.counts", "b.weight_quantizer.most"])
@pytest.mark.parametrize("damage", [lambda t: t.float(), lambda t: t[..., None], lambda t: t - 10_000])
def test_a_damaged_grid_is_refused(model, tmp_path, name, damage):
    snap_(model, batches=[images()])
    paconv.save(model, tmp_path / "model.pt")
    contents = torch.load(tmp_path / "model.pt")
    contents["state_dict"][name] = damage(contents["state_dict"][name])
    torch.save(contents, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=f"{name} is no part of an integer grid"):
        paconv.load(tmp_path / "model.pt", PreActivation)


def test_a_model_pickled_before_there_were_grids_can_be_used(model):
    for module in model.modules():
        for name in ("most", "counts"):
            module._buffers.pop(name, None)
        module.__dict__.pop("_memory", None)
    again = pickle.loads(pickle.dumps(model))
    assert torch.isfinite(again(images())).all() and snap_(again).snapped


def test_weights_that_change_are_snapped_anew(model):
    snap_(model)
    first = model(images())
    with torch.no_grad():
        model.a.weight.mul_(-1.7)
    integers(model.a.weight_quantizer.endpoints_and_levels(model.a.weight)[1], 15)
    assert not torch.equal(model(images()), first)


@pytest.mark.parametrize("scheme", ["pa", "abc"])
def test_what_is_not_finite_stays_not_finite(scheme):
    model = trained(scheme)
    snap_(model)
    with torch.no_grad():
        model.a.weight[0, 0, 0, 0] = torch.nan
        model.b.activation.beta[-1] = torch.inf
    assert model(images()).isnan().any() and not model.b.activation(images() + 9).isfinite().any()


def test_frozen_levels_are_those_of_eval_mode(model):
    snap_(model)
    logits, levels = model(images()), model.a.activation.levels()
    freeze_(model)
    assert torch.equal(model(images()), logits)
    assert torch.equal(model.a.activation.frozen_levels, levels)


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (PreActivation, {}, "the model has no quantizer whose levels could be snapped"),
        (trained, {"grid": (0, 3)}, "grid: expected 'default', None"),
        (trained, {"batches": []}, "snap_ needs at least one batch"),
        (trained, {"batches": ["image"]}, "batches: expected tensors"),
    ],
)
def test_what_can_not_be_snapped_is_told(made, options, message):
    with pytest.raises(UsageError, match=message):
        snap_(made(), **options)

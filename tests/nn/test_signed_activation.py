"""PAActivation with levels on both sides of 0: the equations mirrored, and the levels shared out by the data."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paconv.errors import CheckpointError, UsageError
from paconv.gaussian import half_gaussian_quantizer
from paconv.nn import PAActivation, PAConv2d, calibrate, conversion_report, convert, convert_from_config, snap_
from paconv.nn.functional import approximate_activations, segment_ends
from paconv.nn.half_line import half_line_quantizer, negative_share
from paconv.nn.quantizers import LEAST_GAP
from paconv.reference import pa_activation
from tests.nn.networks import FunctionalResNet, PreActivation, TwoRelus, Untraceable
from tests.test_gaussian import normal_quantiles

SPLITS = [(N, z) for N in (1, 2, 5, 8) for z in range(N + 1)]


def activations(seed: int = 0) -> torch.Tensor:
    return torch.randn((4, 8, 6, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def signed(N: int, negative: int) -> PAActivation:
    """A quantizer with the Gaussian's levels, `negative` of them below 0."""
    quantizer = PAActivation(N, signed=True).double()
    quantizer.negative.fill_(negative)
    below, above = (half_gaussian_quantizer(n) if n else ((), ()) for n in (negative, N - negative))
    for tensor, low, high in zip((quantizer.v, quantizer.beta), below, above, strict=True):
        tensor.data = torch.tensor([*(-c for c in reversed(low)), *high], dtype=torch.float64)
    return quantizer


def gradients(A, v, beta, g, negative, **options):
    """dC/dA, dC/dv, dC/dbeta of C = sum g A_bar, unscaled."""
    A, v, beta = (t.detach().clone().requires_grad_() for t in (A, v, beta))
    options = {"lambda_a": None, "lambda_delta": 1.0, "least_width": LEAST_GAP, "gradient_scale": 1.0, **options}
    (g * approximate_activations(A, v, beta, negative=negative, **options)).sum().backward()
    return A.grad, v.grad, beta.grad


def two_sided(A, v, beta, z):
    """P(A; v above, beta above) - P(-A; -v below, -beta below)."""
    zero = beta.new_zeros(1)
    above = torch.cat([zero, beta[z:]])[(A[..., None] >= v[z:]).sum(-1)]
    return above - torch.cat([zero, -beta[:z].flip(0)])[(-A[..., None] > -v[:z].flip(0)).sum(-1)]


@pytest.mark.parametrize("lambda_a", [None, 0.7])
@pytest.mark.parametrize("N, negative", [(N, z) for N, z in SPLITS if z])
def test_values_and_gradients_are_those_of_two_unsigned_quantizers_one_mirrored(N, negative, lambda_a):
    q, A, g = signed(N, negative), activations(), activations(1)
    found = (q(A).detach(), *gradients(A, q.v, q.beta, g, negative, lambda_a=lambda_a))
    v, beta, z = q.v.detach(), q.beta.detach(), negative
    by_A, by_v, by_beta = torch.zeros_like(A), torch.zeros_like(v), torch.zeros_like(v)
    if z < N:
        by_A, by_v[z:], by_beta[z:] = gradients(A, v[z:], beta[z:], g, 0, lambda_a=lambda_a)
    mirrored, by_low_v, by_low_beta = gradients(-A, -v[:z].flip(0), -beta[:z].flip(0), g, 0, lambda_a=lambda_a)
    by_A, by_v[:z], by_beta[:z] = by_A + mirrored, by_low_v.flip(0), by_low_beta.flip(0)
    value = two_sided(A, v, beta, z)
    assert torch.equal(found[0], value)
    assert torch.allclose(found[1], by_A, rtol=2**-51, atol=0)  # g (a + b), and g a + g b of one sign
    assert torch.equal(found[2], by_v) and torch.equal(found[3], by_beta)


@pytest.mark.parametrize("N, negative", SPLITS)
def test_the_gradient_of_an_endpoint_is_what_moving_it_through_its_segment_does(N, negative):
    q, A, g = signed(N, negative), activations(), activations(1)
    _, dv, _ = gradients(A, q.v, q.beta, g, negative)
    v, beta = q.v.detach(), q.beta.detach()
    for i in range(N):
        below = i < negative
        side = -v[:negative].flip(0) if below else v[negative:]
        k = negative - 1 - i if below else i - negative
        C, ends = [], segment_ends(side, 1.0)[k : k + 2]
        for position in -ends.flip(0) if below else ends:
            moved = v.clone()
            moved[i] = position
            C.append((g * two_sided(A, moved, beta, negative)).sum().item())
        width = ends.diff().item()
        bound = 1152 * 2**-52 * g.abs().sum().item() * beta.abs().max().item() / width
        assert (C[1] - C[0]) / width == pytest.approx(dv[i].item(), abs=4 * bound)


@pytest.mark.parametrize("N, negative", SPLITS)
def test_a_level_is_the_count_of_endpoints_reached_also_at_endpoints_and_for_nan(N, negative):
    q = signed(N, negative).float()
    beside = torch.cat([q.v.detach(), *(torch.nextafter(q.v.detach(), torch.tensor(far)) for far in (-9.0, 9.0))])
    x = torch.cat([beside, torch.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf")])])
    expected = pa_activation(x.numpy(), q.v.detach().numpy(), q.levels().detach().numpy())
    assert np.array_equal(q(x).detach().numpy(), expected)
    frozen = copy.deepcopy(q)
    frozen.freeze()
    assert torch.equal(frozen(x), q(x).detach())
    assert q(torch.zeros(1)).item() == 0


def test_before_any_data_half_of_the_levels_are_below_0_and_mirror_the_others():
    q = PAActivation(6, signed=True)
    assert q.negative.item() == 3
    assert torch.equal(q.v, -q.v.flip(0)) and torch.equal(q.beta, -q.beta.flip(0))
    assert "signed=True" in repr(q) and "negative" not in PAActivation(6).state_dict()


def test_projecting_keeps_each_side_in_order_and_off_0_and_admissible_endpoints_bit_for_bit():
    q = PAActivation(4, signed=True)
    before = q.v.detach().clone()
    q.project_()
    assert torch.equal(q.v, before)
    q.v.data = torch.tensor([0.5, -1.0, -0.2, 0.1])
    q.project_()
    assert q.v.tolist() == pytest.approx([-1.0, -LEAST_GAP, LEAST_GAP, 0.1], rel=1e-6)
    q.v.data = torch.tensor([-1.0, -1.0, 2.0, 2.0])
    q.project_()
    assert q.v.tolist() == pytest.approx([-1.01, -1.0, 2.0, 2.01], rel=1e-6)


@pytest.mark.parametrize(
    "function, N, below",
    [
        (lambda x: x, 6, 3),
        (F.relu, 5, 0),
        (lambda x: -F.relu(x), 5, 5),
        (F.silu, 5, 1),
        (lambda x: F.leaky_relu(x, 0.01), 5, 0),
        (lambda x: F.leaky_relu(x, 0.25), 5, 1),
        (lambda x: x, 1, 0),
    ],
    ids=["normal", "relu", "negative", "silu", "leaky", "leakier", "one level"],
)
def test_the_levels_are_shared_out_by_the_data(function, N, below):
    x = function(normal_quantiles(20_000))
    q = PAActivation(N, signed=True).double()
    (outcome,) = calibrate(nn.Sequential(q), [x])
    assert q.negative.item() == outcome.below == below
    assert (outcome.positive, outcome.negative) == (int((x > 0).sum()), int((x < 0).sum()))
    level = (x[:, None] >= q.v).sum(-1)
    for k, value in enumerate(q.levels().tolist()):
        if k != below:
            assert value == pytest.approx(x[level == k].mean().item(), rel=1e-12)


def test_no_other_share_has_less_error():
    x = F.silu(1.5 * normal_quantiles(5000) + 0.3)

    def error(z: int, N: int = 6) -> float:
        total = 0.0
        for side, n in ((-x[x < 0], z), (x[x > 0], N - z)):
            v, beta = half_line_quantizer(side, n) if n else (side.new_zeros(0), side.new_zeros(0))
            total += (side - torch.cat([side.new_zeros(1), beta])[torch.bucketize(side, v, right=True)]).square().sum()
        return float(total)

    errors = [error(z) for z in range(7)]
    assert negative_share(x, 6) == int(np.argmin(errors)) and 0 < np.argmin(errors) < 6


@pytest.mark.parametrize("x, unit", [(torch.zeros(9), 1.0), (torch.tensor([float("nan")]), 1.0)])
def test_without_any_value_the_gaussian_start_is_kept(x, unit):
    q = PAActivation(4, signed=True)
    (outcome,) = calibrate(nn.Sequential(q), [x])
    assert outcome.unit == unit and q.negative.item() == 2
    assert q.v.tolist() == pytest.approx(PAActivation(4, signed=True).v.tolist(), rel=2**-22)


def test_on_a_grid_the_levels_are_integers_of_a_signed_byte_and_0_stays_0():
    q = PAActivation(8, signed=True)
    model = nn.Sequential(q).eval()
    for grid, most in (("default", 63), ((127, 255), 127), ((15, 7), 7)):
        report = snap_(model, grid)
        assert report.layers[0].most == most
        levels = q.levels().double()
        unit = levels.abs().max() / round((levels.abs().max() / levels.abs()[levels != 0].min()).item())
        assert levels[4] == 0 and (levels[:4] < 0).all() and (levels[5:] > 0).all() and unit > 0
        x = activations().float()
        assert torch.isin(q(x), q.levels()).all()


def test_what_reads_nothing_negative_is_unsigned_and_all_else_signed_unless_told_otherwise():
    def quantizers(**options):
        model = convert(PreActivation(), 4, 5, **options)
        return {n: m.activation.signed for n, m in model.named_modules() if isinstance(m, PAConv2d)}

    assert quantizers() == {"a": False, "b": True}
    assert quantizers(signed=False) == {"a": False, "b": False}
    assert quantizers(signed=True) == {"a": True, "b": True}
    assert convert(PreActivation(), 4, None).paconv_conversion["signed_activations"] == []
    with pytest.raises(UsageError, match="signed must be True, False or 'auto'; found 'yes'"):
        convert(PreActivation(), 4, 5, signed="yes")


def test_the_report_says_what_each_convolution_reads():
    model = convert(TwoRelus(), 4, 5)
    report = conversion_report(model)
    assert {conv.name: conv.reads for conv in report.converted} == {
        "a": "rectified",
        "b": "rectified",
        "c": "signed",
        "d": "non-negative",
    }
    text = str(report)
    assert "c     8->8, 1x1; reads signed activations, levels on both sides of 0" in text
    assert "d     8->8, 1x1; reads nothing negative\n" in text and "reads what a ReLU left" in text
    data = json.loads(json.dumps(report.as_data()))
    assert data["converted"][2] == {
        "name": "c",
        "shape": "8->8, 1x1",
        "activation": "c",
        "reads": "signed",
        "signed": True,
        "rewritten": "",
    }
    unknown = conversion_report(convert(Untraceable(), 4, 5))
    assert {conv.reads for conv in unknown.converted} == {"unknown"}
    assert "what it reads is unknown, levels on both sides of 0" in str(unknown)


def test_a_configuration_without_the_field_has_no_signed_quantizer():
    config = json.loads(json.dumps(convert(PreActivation(), 4, 5).paconv_conversion))
    again = convert_from_config(PreActivation(), config)
    assert again.b.activation.signed and again.paconv_conversion == config
    for name in ("signed", "signed_activations", "reads"):
        del config[name]
    older = convert_from_config(PreActivation(), config)
    assert not older.b.activation.signed
    assert {conv.reads for conv in conversion_report(older).converted} == {"unknown"}


@pytest.mark.parametrize("change", [{"signed_activations": ["stem"]}, {"signed_activations": 3}, {"reads": {"a": "x"}}])
def test_a_configuration_with_another_meaning_is_refused(change):
    config = {**convert(PreActivation(), 4, 5).paconv_conversion, **change}
    with pytest.raises(CheckpointError, match="conversion config"):
        convert_from_config(PreActivation(), config)


def test_an_impossible_share_in_a_checkpoint_is_refused():
    model = convert(PreActivation(), 4, 5)
    state = {**model.state_dict(), "b.activation.negative": torch.tensor(6)}
    with pytest.raises(CheckpointError, match=r"b.activation.negative: expected how many of 5 levels are below 0"):
        model.load_state_dict(state)


def test_other_schemes_have_no_say_in_it():
    with pytest.raises(UsageError, match="scheme dorefa has no parameter 'signed'"):
        convert(FunctionalResNet(), scheme="dorefa", signed=True)

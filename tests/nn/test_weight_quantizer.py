"""PAWeight: eqs. 6-9, and the facts that follow from them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paconv.errors import ExportError, UsageError
from paconv.nn import PAWeight
from paconv.nn.functional import approximate_weights, weight_levels
from paconv.reference import pa_weight
from tests.effort import examples
from tests.test_gaussian import normal_quantiles

PLANES = [1, 2, 3, 4, 6, 7, 8]


def weights(seed: int = 0, shape: tuple[int, ...] = (16, 8, 3, 3), std: float = 0.07) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * std


def pieces(W: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return (W[..., None] > u).sum(-1)


@pytest.mark.parametrize("M", PLANES)
def test_each_level_is_the_mean_of_its_piece_and_the_middle_level_is_zero(M):
    W = weights()
    quantizer = PAWeight(M)
    u, levels = quantizer.endpoints_and_levels(W)
    index = pieces(W, u)
    for k in range(M + 1):
        expected = 0.0 if k == M // 2 else W[index == k].double().mean().float().item()
        assert levels[k].item() == pytest.approx(expected, rel=2**-23)  # one rounding to float32
    residual = (W - quantizer(W)).double()[index != M // 2]
    # Every level is off its piece's exact mean by half an ulp at most.
    assert abs(residual.sum().item()) <= 2**-24 * quantizer(W).abs().sum().item() * 2


@pytest.mark.parametrize("M", PLANES)
def test_planes_are_disjoint_and_with_the_zero_piece_cover_every_weight(M):
    W = weights()
    u, levels = PAWeight(M).endpoints_and_levels(W)
    index = pieces(W, u)
    T = torch.stack([index == k for k in range(M + 1) if k != M // 2])
    assert ((T.sum(0) + (index == M // 2)) == 1).all()
    assert PAWeight(M)(W).unique().numel() <= M + 1
    alpha = levels[levels != 0]
    assert torch.equal((alpha[:, None, None, None, None] * T).sum(0), PAWeight(M)(W))


@pytest.mark.parametrize("M", PLANES)
def test_scaling_by_a_power_of_two_and_negation_commute_with_the_approximation(M):
    W = weights()
    quantizer = PAWeight(M)
    assert torch.equal(quantizer(8 * W), 8 * quantizer(W))
    if M % 2 == 0:  # an odd M has another number of levels above 0 than below
        assert torch.equal(quantizer(-W), -quantizer(W))


@pytest.mark.parametrize(
    "M, slopes",
    [(8, [0.714, 0.490, 0.362, 0.373, 0.373, 0.362, 0.490, 0.714]), (4, [0.790, 0.735, 0.735, 0.790])],
)
def test_slopes_on_gaussian_weights_are_the_derived_ones(M, slopes):
    W = normal_quantiles(100_000).requires_grad_()
    quantizer = PAWeight(M, lambda_w=1.0)
    quantizer(W).sum().backward()
    u, _ = quantizer.endpoints_and_levels(W)
    segment = pieces(W, (u[1:] + u[:-1]) / 2)
    found = [W.grad[segment == k].unique().item() for k in range(M)]
    assert found == pytest.approx(slopes, abs=0.0006)  # three digits, and the grid's means


def test_the_slope_does_not_depend_on_the_scale_of_the_weights():
    gradients = []
    for factor in (1.0, 1024.0):
        W = (weights() * factor).requires_grad_()
        PAWeight(4)(W).sum().backward()
        gradients.append(W.grad)
    assert torch.equal(*gradients)


def test_the_backward_segments_are_left_open_and_the_outer_ones_unbounded():
    u = torch.tensor([-2.0, -1.0, 1.0, 2.0])
    slope = torch.tensor([10.0, 20.0, 30.0, 40.0])
    W = torch.tensor([-9.0, -1.5, -1.4, 0.0, 0.1, 1.5, 1.6, 9.0], requires_grad=True)
    approximate_weights(W, u, torch.arange(5.0), slope).sum().backward()
    assert W.grad.tolist() == [10, 10, 20, 20, 30, 30, 40, 40]


def test_a_weight_on_an_endpoint_belongs_to_the_piece_below():
    u = torch.tensor([-1.0, 1.0])
    levels = torch.tensor([-5.0, 0.0, 5.0])
    W = torch.tensor([-1.0, 1.0, torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)).item()])
    assert approximate_weights(W, u, levels, torch.ones(2)).tolist() == [-5.0, 0.0, 5.0]


def test_a_piece_without_weights_falls_back_to_its_endpoint():
    W = torch.tensor([-1.0, 1.0, 5.0])
    u = torch.tensor([-4.0, -3.0, 2.0, 4.0])
    assert weight_levels(W, u).tolist() == [-4.0, -3.0, 0.0, 2.0, 5.0]


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e-30])
def test_constant_weights_stay_as_they_are_and_have_a_straight_through_gradient(value):
    W = torch.full((4, 3, 3, 3), value, requires_grad=True)
    W_bar = PAWeight(8)(W)
    W_bar.sum().backward()
    assert torch.allclose(W_bar, W, rtol=2**-22, atol=0)  # the mean of equal numbers, after two roundings
    assert (W.grad == 1).all()


@settings(deadline=None, max_examples=examples(60))
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
        elements=st.floats(-4, 4, width=32),
    ),
    st.sampled_from(PLANES),
    st.sampled_from(["paper", "lloyd"]),
)
def test_the_approximation_is_that_of_the_numpy_reference(W, M, rule):
    quantizer = PAWeight(M, endpoints=rule)
    u, levels = quantizer.endpoints_and_levels(torch.from_numpy(W))
    assert np.array_equal(quantizer(torch.from_numpy(W)).numpy(), pa_weight(W, u.numpy(), levels.numpy()))
    assert not quantizer(torch.from_numpy(W)).isnan().any()


def test_freezing_changes_no_decision_and_holds_when_the_weights_change():
    W = weights()
    quantizer = PAWeight(4)
    before = quantizer(W)
    quantizer.freeze(W)
    assert torch.equal(quantizer(W), before)
    u, levels = quantizer.endpoints_and_levels(3 * W)
    assert np.array_equal(quantizer(3 * W).numpy(), pa_weight((3 * W).numpy(), u.numpy(), levels.numpy()))
    assert torch.equal(levels, PAWeight(4).endpoints_and_levels(W)[1])
    assert copy.deepcopy(quantizer).state_dict() == {}


def test_freezing_again_takes_the_new_weights():
    quantizer = PAWeight(4)
    quantizer.freeze(weights())
    quantizer.freeze(2 * weights())
    assert torch.equal(quantizer.u, PAWeight(4).endpoints_and_levels(2 * weights())[0])


def test_exporting_without_freezing_is_refused(monkeypatch):
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    with pytest.raises(ExportError, match="not frozen"):
        PAWeight(4)(weights())


def test_endpoints_may_lie_around_the_mean_of_the_weights():
    W = weights() + 0.02
    moved, plain = PAWeight(4, around_mean=True), PAWeight(4)
    u, levels = moved.endpoints_and_levels(W)
    expected = plain.endpoints_and_levels(W)[0].double() + W.double().mean()
    assert torch.allclose(u.double(), expected, rtol=0, atol=2**-24)  # two roundings of numbers below 1/2
    assert torch.equal(levels, weight_levels(W, u)) and levels[2] == 0
    assert "around_mean" in repr(moved) and "around_mean" not in repr(plain)


@pytest.mark.parametrize("M", range(1, 9))
def test_lambda_w_by_M_gives_gaussian_weights_slopes_around_1(M):
    W = normal_quantiles(10_000).requires_grad_()
    PAWeight(M, lambda_w="by-M")(W).sum().backward()
    assert 0.35 < W.grad.mean().item() < 1.1
    assert PAWeight(M, lambda_w="by-M").lambda_w == M / 4


@pytest.mark.parametrize("M", [0, 9, 10, 4.0, True, None])
def test_other_numbers_of_planes_are_refused(M):
    with pytest.raises(UsageError):
        PAWeight(M)


@pytest.mark.parametrize("lambda_w", [0, -1.0, float("nan"), float("inf"), "2"])
def test_a_slope_factor_that_is_not_positive_is_refused(lambda_w):
    with pytest.raises(UsageError, match="lambda_w must be a positive number"):
        PAWeight(4, lambda_w=lambda_w)

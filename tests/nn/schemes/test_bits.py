"""DoReFa-Net, SYQ and LQ-Net against their published equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paconv.nn.schemes.dorefa import DoReFaActivation, DoReFaWeight
from paconv.nn.schemes.lq_net import LQActivation, LQWeight
from paconv.nn.schemes.registry import make_scheme
from paconv.nn.schemes.syq import SYQActivation, SYQWeight
from tests.nn.schemes.helpers import activations, gradient_of, weights

ONE_ROUNDING = 2**-24


def unit_rounding(largest: int) -> float:
    """Relative, of a unit whose products with integers up to `largest` are exact: it has 24 bits less theirs."""
    return 2.0 ** (largest.bit_length() - 24)


def quantize(r: np.ndarray, bits: int) -> np.ndarray:
    """DoReFa's eq. 5, halves up."""
    n = 2**bits - 1
    return np.floor(n * r + 0.5) / n


def beside_endpoints(v: torch.Tensor) -> torch.Tensor:
    """Each endpoint and the floats beside it."""
    inf = torch.full_like(v, torch.inf)
    return torch.cat([torch.nextafter(v, -inf), v, torch.nextafter(v, inf)])


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_dorefa_weights_are_evenly_spaced_in_tanh(bits):
    W = weights()
    exact = W.double().numpy()
    squashed = np.tanh(exact)
    expected = 2 * quantize(squashed / (2 * np.abs(squashed).max()) + 0.5, bits) - 1
    found = DoReFaWeight(bits)(W).double().numpy()
    assert (np.abs(found - expected) <= np.abs(expected) * unit_rounding(2**bits)).all()
    assert len(np.unique(found)) == 2**bits


def test_dorefa_binary_weights_have_one_scale_a_tensor_and_pass_the_gradient_on():
    W = weights()
    exact = W.double().numpy()
    expected = np.abs(exact).mean() * np.where(exact >= 0, 1, -1)
    assert np.allclose(DoReFaWeight(1)(W).numpy(), expected, rtol=ONE_ROUNDING, atol=0)
    g, found = gradient_of(DoReFaWeight(1), W)
    assert np.array_equal(found, g)


def test_dorefa_weights_have_the_gradient_of_the_chain_rule():
    W = weights()
    g, found = gradient_of(DoReFaWeight(2), W)
    t = np.tanh(W.double().numpy())
    largest, at = np.abs(t).max(), np.unravel_index(np.abs(t).argmax(), t.shape)
    expected = g * (1 - t**2) / largest
    expected[at] -= np.sign(t[at]) * (1 - t[at] ** 2) * (g * t).sum() / largest**2  # through max |tanh W|
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)  # float32 tanh and a sum of 216 terms


@pytest.mark.parametrize("bits", range(1, 9))
def test_dorefa_activations_decide_as_the_equation_does_on_every_endpoint_and_beside_it(bits):
    quantizer = DoReFaActivation(bits)
    x = torch.cat([activations().flatten(), beside_endpoints(quantizer.steps().endpoints[0])])
    n = 2**bits - 1
    expected = np.floor(n * np.clip(x.double().numpy(), 0, 1) + 0.5)
    assert np.array_equal(np.rint(quantizer(x).double().numpy() * n), expected)
    assert (np.abs(quantizer(x).double().numpy() - expected / n) <= expected / n * unit_rounding(n)).all()


@pytest.mark.parametrize("quantizer, top", [(DoReFaActivation(2), 1.0), (SYQActivation(3, 1), 3.5)])
def test_gradients_pass_between_0_and_the_highest_level(quantizer, top):
    x = activations()
    x.view(-1)[4:6] = torch.tensor([top, top + 0.25])
    g, found = gradient_of(quantizer, x)
    assert np.array_equal(found, g * ((x.numpy() >= 0) & (x.numpy() <= top)))


@pytest.mark.parametrize("bits, f", [(1, -1), (2, 0), (3, 1), (8, 6), (8, 4)])
def test_syq_activations_are_fixed_point_numbers(bits, f):
    quantizer = SYQActivation(bits, f)
    x = torch.cat([activations().flatten() * 4, beside_endpoints(quantizer.steps().endpoints[0])])
    exact = np.clip(x.double().numpy(), 0, (2**bits - 1) * 2.0**-f)
    assert np.array_equal(quantizer(x).double().numpy(), np.floor(2.0**f * exact + 0.5) * 2.0**-f)


@pytest.mark.parametrize("scaling, axes", [("pixel", (0, 1)), ("row", (0, 1, 3)), ("layer", (0, 1, 2, 3))])
@pytest.mark.parametrize("ternary", [False, True])
def test_syq_weights_have_a_scale_for_each_subgroup(scaling, axes, ternary):
    W = weights()
    groups = {"pixel": (3, 3), "row": (3, 1), "layer": (1, 1)}[scaling]
    quantizer = SYQWeight(groups, ternary, 0.05)
    quantizer.initialize_(W)
    exact = W.double().numpy()
    alpha = np.abs(exact).mean(axes).reshape(groups).astype(np.float32)
    assert np.allclose(quantizer.alpha.detach().numpy(), alpha, rtol=2 * ONE_ROUNDING, atol=0)
    alpha = quantizer.alpha.detach().numpy()
    eta = 0.05 * np.abs(exact).max()
    Q = np.sign(exact) * (np.abs(exact) > eta) if ternary else np.where(exact >= 0, 1, -1)
    assert np.array_equal(quantizer(W).detach().numpy(), (alpha * Q).astype(np.float32))

    g, found = gradient_of(quantizer, W)
    assert np.allclose(found, g * np.where(Q == 0, 1, alpha), rtol=ONE_ROUNDING, atol=0)
    terms = (g * Q).reshape(-1, 3, 3)
    expected = terms.sum(0) if scaling == "pixel" else terms.sum((0, 2) if scaling == "row" else (0, 1, 2))
    bound = terms.size * ONE_ROUNDING * np.abs(terms).sum()
    assert np.abs(quantizer.alpha.grad.numpy() - expected.reshape(groups)).max() <= bound


@pytest.mark.parametrize(
    "geometry",
    [
        {"padding": 1},
        {"stride": 2, "padding": 1},
        {"stride": 2},
        {"dilation": 2, "padding": (1, 3)},
        pytest.param({"padding": "same"}, marks=pytest.mark.filterwarnings("ignore:Using padding='same'")),
        {"groups": 3, "padding": 2, "bias": False},
    ],
)
@pytest.mark.parametrize("scaling", ["pixel", "row"])
def test_the_parts_that_syq_exports_add_up_to_the_convolution(geometry, scaling, monkeypatch):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, (3, 2), **geometry)
    made = make_scheme("syq", 2, 4, scaling=scaling).layer(conv, SYQActivation(4, 2))
    x = activations()
    expected = F.conv2d(made.activation(x), made.weight_quantizer(conv.weight), conv.bias, **(
        {"stride": 1, "padding": 0} | {k: v for k, v in geometry.items() if k != "bias"}
    ))  # fmt: skip
    made.freeze()
    assert len(made.parts) == (6 if scaling == "pixel" else 3)

    def pa_weight(op, inputs, like):
        W, u, levels = inputs[:3]
        return levels[(W[..., None] > u).sum(-1)]

    monkeypatch.setattr("paconv.nn.schemes.syq.call_op", pa_weight)
    found = sum(part(x, made.activation, conv.bias if k == 0 else None) for k, part in enumerate(made.parts))
    assert torch.allclose(found, expected, atol=1e-5)  # the same products, added in another order


def lq_levels(basis: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.sort(codes @ basis)


def all_codes(bits: int, low: float) -> np.ndarray:
    k = np.arange(2**bits)
    return np.where((k[:, None] >> np.arange(bits)) & 1, 1.0, low)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_lq_weights_are_the_nearest_level_of_their_filters_basis(bits):
    W = weights()
    quantizer = LQWeight(len(W), bits).eval()
    quantizer.initialize_(W)
    found = quantizer(W).double().numpy()
    for o, w in enumerate(W.double().numpy()):
        levels = lq_levels(quantizer.basis[o].double().numpy(), all_codes(bits, -1.0))
        nearest = levels[np.abs(w[..., None] - levels).argmin(-1)]
        assert np.abs(found[o] - nearest).max() <= 8 * ONE_ROUNDING * np.abs(levels).max()


def test_lq_initialization_lowers_the_error_and_three_levels_of_a_basis_may_change_order():
    W = weights()
    quantizer = LQWeight(len(W), 3).eval()
    quantizer.initialize_(W)
    evenly = LQWeight(len(W), 3).eval()
    evenly.basis.copy_(W.square().mean((1, 2, 3)).sqrt()[:, None] * 0.6745 / 4 * torch.tensor([1.0, 2.0, 4.0]))
    assert (W - quantizer(W)).square().sum() < (W - evenly(W)).square().sum()
    quantizer.basis.copy_(torch.tensor([[3.0, -2.0, 2.5]]).expand(len(W), 3))
    levels = quantizer.steps(W).levels
    assert (levels.diff(dim=1) > 0).all() and levels.shape == (len(W), 8)


def test_a_training_step_of_lq_moves_the_basis_by_a_tenth_of_the_least_squares_solution():
    W = weights()
    quantizer = LQWeight(len(W), 2).train()
    quantizer.initialize_(1.5 * W)
    basis = quantizer.basis.double().numpy().copy()
    quantizer(W)
    codes = all_codes(2, -1.0)
    for o, w in enumerate(W.double().numpy().reshape(len(W), -1)):
        B = codes[np.abs(w[:, None] - codes @ basis[o]).argmin(-1)]
        fitted = np.linalg.solve(B.T @ B + 1e-4 * np.eye(2), B.T @ w + 1e-4 * basis[o])
        assert np.allclose(quantizer.basis[o], 0.9 * basis[o] + 0.1 * fitted, rtol=2 * ONE_ROUNDING, atol=1e-8)


def test_lq_activations_are_the_nearest_level_and_move_their_basis_in_training_only():
    x = activations()
    quantizer = LQActivation(3).eval()
    basis = quantizer.basis.double().numpy().copy()
    levels = lq_levels(basis, all_codes(3, 0.0))
    found = quantizer(x).double().numpy()
    nearest = levels[np.abs(x.double().numpy()[..., None] - levels).argmin(-1)]
    assert np.abs(found - nearest).max() <= 8 * ONE_ROUNDING * levels.max()
    assert np.array_equal(quantizer.basis.double().numpy(), basis)
    quantizer.train()(x)
    codes = all_codes(3, 0.0)
    flat = x.double().numpy().reshape(-1)
    B = codes[np.abs(flat[:, None] - codes @ basis).argmin(-1)]
    fitted = np.linalg.solve(B.T @ B + 1e-4 * np.eye(3), B.T @ flat + 1e-4 * basis)
    assert np.allclose(quantizer.basis, 0.9 * basis + 0.1 * fitted, rtol=2 * ONE_ROUNDING, atol=1e-8)


def test_lq_passes_gradients_of_weights_on_and_those_of_activations_up_to_the_highest_level():
    quantizer = LQWeight(6, 2).eval()
    g, found = gradient_of(quantizer, weights())
    assert np.array_equal(found, g)
    x, quantizer = activations(), LQActivation(2).eval()
    g, found = gradient_of(quantizer, x)
    assert np.array_equal(found, g * (x.numpy() <= quantizer.steps().levels[0, -1].item()))
    assert (x > quantizer.steps().levels[0, -1]).any()


def test_calibration_fits_the_basis_to_data():
    x = activations(shape=(4, 8, 16, 16)).relu() * 3
    fresh, fitted = LQActivation(2).eval(), LQActivation(2).eval()
    assert fitted.calibrate_(x.double().flatten())
    assert (x - fitted(x)).square().sum() < (x - fresh(x)).square().sum() / 2

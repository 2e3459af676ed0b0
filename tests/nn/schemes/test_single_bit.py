"""BWN, XNOR-Net, Bi-Real Net and Group-Net against their published equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paconv.nn.schemes.bireal import BiRealSign, BiRealWeight
from paconv.nn.schemes.bwn import BWNWeight
from paconv.nn.schemes.group_net import GroupNetWeight
from paconv.nn.schemes.group_net_layerwise import LayerwiseWeight
from paconv.nn.schemes.registry import make_scheme
from paconv.nn.schemes.sign import ClippedSign
from paconv.nn.schemes.xnor import XNORConv2d
from tests.nn.schemes.helpers import activations, conv_of, gradient_of, weights

ONE_ROUNDING = 2**-24


def sign(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, 1.0, -1.0)


def alpha_of(W: np.ndarray) -> np.ndarray:
    return np.abs(W).mean((1, 2, 3), keepdims=True)


@pytest.mark.parametrize("quantizer", [BWNWeight, BiRealWeight, LayerwiseWeight])
def test_a_weight_is_its_sign_times_the_mean_magnitude_of_its_filter(quantizer):
    W = weights()
    exact = W.double().numpy()
    expected = alpha_of(exact) * sign(exact)
    found = quantizer()(W).detach().double().numpy()
    assert (np.abs(found - expected) <= ONE_ROUNDING * np.abs(expected)).all()


def test_bwn_has_the_printed_gradient_1_over_n_plus_alpha_within_1():
    W = weights()
    g, found = gradient_of(BWNWeight(), W)
    exact = W.double().numpy()
    n = exact[0].size
    expected = g * (1 / n + alpha_of(exact) * (np.abs(exact) <= 1))
    assert np.allclose(found, expected, rtol=4 * ONE_ROUNDING, atol=0)  # alpha, 1/n, their sum and the product
    assert np.isin(W.abs().numpy() > 1, [True]).any()


def test_bi_real_has_the_magnitude_aware_gradient_of_weights():
    W = weights()
    W.view(-1)[13] = 1.0  # not below 1
    g, found = gradient_of(BiRealWeight(), W)
    exact = W.double().numpy()
    expected = g * alpha_of(exact) * (np.abs(exact) < 1)
    assert np.allclose(found, expected, rtol=2 * ONE_ROUNDING, atol=0)


def test_bi_real_may_have_the_gradient_of_its_authors_code():
    W = weights()
    W.view(-1)[13] = 1.0  # the clip's gradient is 1 there
    g, found = gradient_of(BiRealWeight(magnitude_aware=False), W)
    assert np.array_equal(found, g * (np.abs(W.numpy()) <= 1))
    assert torch.equal(BiRealWeight(magnitude_aware=False)(W), BiRealWeight()(W))


@pytest.mark.parametrize("quantizer", [ClippedSign, BiRealSign])
def test_activations_are_their_sign_and_zero_is_positive(quantizer):
    x = activations()
    x.view(-1)[4:7] = torch.tensor([-0.0, 1e-40, -1e-40])
    assert np.array_equal(quantizer()(x).numpy(), sign(x.numpy()))


@pytest.mark.parametrize("quantizer", [ClippedSign, BiRealSign])
def test_behind_a_relu_an_exact_zero_stands_for_a_negative_activation(quantizer):
    x = activations()
    x = x[x != 0]
    assert torch.equal(quantizer(rectified=True)(x.relu()), quantizer()(x))


def test_the_clipped_sign_lets_gradients_through_within_1():
    x = activations()
    g, found = gradient_of(ClippedSign(), x)
    assert np.array_equal(found, g * (np.abs(x.numpy()) <= 1))


def test_the_sign_of_bi_real_has_the_derivative_of_a_piecewise_polynomial():
    x = activations()
    g, found = gradient_of(BiRealSign(), x)
    a = x.double().numpy()
    slope = np.select([(a >= -1) & (a < 0), (a >= 0) & (a < 1)], [2 + 2 * a, 2 - 2 * a], 0.0)
    assert np.allclose(found, g * slope, rtol=ONE_ROUNDING, atol=2 * ONE_ROUNDING * np.abs(g).max())


def test_group_net_has_one_scale_for_the_whole_tensor_and_the_gradient_of_the_identity():
    W = weights()
    g, found = gradient_of(GroupNetWeight(), W)
    assert np.array_equal(found, g)
    exact = W.double().numpy()
    expected = np.abs(exact).mean() * sign(exact)
    made = GroupNetWeight()(W).detach().double().numpy()
    assert (np.abs(made - expected) <= ONE_ROUNDING * np.abs(expected)).all()


def test_layer_wise_scales_have_the_gradient_of_the_sum_and_weights_the_clipped_one():
    W = weights()
    quantizer = LayerwiseWeight()
    with torch.no_grad():
        quantizer.scale.fill_(0.75)
    g, found = gradient_of(quantizer, W)
    exact = W.double().numpy()
    expected = g * 0.75 * alpha_of(exact) * (np.abs(exact) <= 1)
    assert np.allclose(found, expected, rtol=3 * ONE_ROUNDING, atol=0)
    terms = g * alpha_of(exact) * sign(exact)
    bound = terms.size * ONE_ROUNDING * np.abs(terms).sum()
    assert quantizer.scale.grad.item() == pytest.approx(terms.sum(), abs=bound)


def test_the_bases_of_the_layer_wise_form_start_as_a_greedy_approximation_of_the_weight():
    W = weights()
    made = make_scheme("groupnet_layerwise", 3).layer(conv_of(W), BiRealSign())
    rest, total = W.double().numpy(), 0.0
    errors = []
    for base in made.bases:
        B = alpha_of(rest) * sign(rest)
        total, rest = total + B, rest - B
        found = base.weight_quantizer(base.weight).detach().double().numpy()
        assert np.allclose(found, B, rtol=1e-5, atol=1e-6)  # the rest is kept in float32
        errors.append(np.square(rest).sum())
    assert errors == sorted(errors, reverse=True)


def test_the_layer_wise_form_adds_its_bases_and_the_bias_once():
    conv = nn.Conv2d(3, 6, 3, 2, 1)
    made = make_scheme("groupnet_layerwise", 2).layer(conv, BiRealSign())
    x = activations()
    a = torch.where(x >= 0, 1.0, -1.0)
    expected = sum(F.conv2d(a, base.weight_quantizer(base.weight), None, 2, 1) for base in made.bases)
    assert torch.allclose(made(x), expected + conv.bias[:, None, None], atol=1e-5)


@pytest.mark.parametrize(
    "geometry",
    [{"padding": 1}, {"stride": 2}, {"padding": 1, "groups": 3}, {"dilation": 2, "padding": 2}, {"padding": "same"}],
)
def test_xnor_scales_each_window_by_the_mean_magnitude_of_its_input(geometry):
    conv = nn.Conv2d(3, 6, 3, **geometry)
    made = make_scheme("xnor").layer(conv, ClippedSign())
    assert isinstance(made, XNORConv2d)
    x = activations()
    groups = geometry.get("groups", 1)
    K = torch.cat([
        F.conv2d(part.abs().double(), torch.full((1, part.shape[1], 3, 3), 1 / (9 * part.shape[1])).double(),
                 **{k: v for k, v in geometry.items() if k != "groups"}).expand(-1, 6 // groups, -1, -1)
        for part in x.chunk(groups, 1)
    ], 1)  # fmt: skip
    W = conv.weight.detach().double()
    B = W.abs().mean((1, 2, 3), keepdim=True) * torch.where(W >= 0, 1.0, -1.0)
    binary = F.conv2d(torch.where(x >= 0, 1.0, -1.0).double(), B, **geometry)
    expected = binary * K + conv.bias.detach().double()[:, None, None]
    # float32: K and the convolution have at most 27 roundings each, then a product and a sum.
    assert (made(x) - expected).abs().max() <= 64 * ONE_ROUNDING * (27 * B.abs().max() * K.max() + 1)


def test_xnor_without_the_scale_of_the_input_is_a_plain_convolution_of_signs():
    conv = nn.Conv2d(3, 6, 3, bias=False)
    x = activations()
    made = make_scheme("xnor", input_scaling=False).layer(conv, ClippedSign())
    assert torch.equal(made(x), F.conv2d(ClippedSign()(x), BWNWeight()(conv.weight)))

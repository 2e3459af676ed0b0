"""TWN and TTQ against their published equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paconv.nn.schemes.ttq import TTQWeight
from paconv.nn.schemes.twn import TWNWeight
from tests.nn.schemes.helpers import gradient_of, weights

ONE_ROUNDING = 2**-24


def test_twn_keeps_the_mean_of_what_is_beyond_0_7_of_the_mean():
    W = weights()
    exact = W.double().numpy()
    delta = 0.7 * np.abs(exact).mean()
    outer = np.abs(exact) > delta
    alpha = np.abs(exact)[outer].mean()
    expected = alpha * np.sign(exact) * outer
    assert (np.abs(TWNWeight()(W).numpy() - expected) <= ONE_ROUNDING * alpha).all()


def test_twn_passes_the_gradient_on():
    g, found = gradient_of(TWNWeight(), weights())
    assert np.array_equal(found, g)


def test_a_weight_on_the_threshold_is_0():
    W = torch.tensor([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 0.5]).view(2, 1, 2, 2)
    quantizer = TTQWeight(0.5)
    assert quantizer(W).flatten().tolist() == [-1, 0, 0, 0, 0, 0, 1, 0]
    beside = torch.nextafter(torch.tensor(0.5), torch.tensor(1.0)).item()
    W.view(-1)[1], W.view(-1)[5] = -beside, beside
    assert quantizer(W).flatten().tolist() == [-1, -1, 0, 0, 0, 1, 1, 0]


def test_ttq_starts_at_the_means_and_has_two_scales():
    W = weights()
    quantizer = TTQWeight()
    quantizer.initialize_(W)
    exact = W.double().numpy()
    delta = 0.05 * np.abs(exact).max()
    positive, negative = exact[exact > delta].mean(), -exact[exact < -delta].mean()
    assert quantizer.positive.item() == pytest.approx(positive, rel=ONE_ROUNDING)
    assert quantizer.negative.item() == pytest.approx(negative, rel=ONE_ROUNDING)
    expected = np.select([exact > delta, exact < -delta], [quantizer.positive.item(), -quantizer.negative.item()], 0.0)
    assert np.array_equal(quantizer(W).detach().numpy(), expected.astype(np.float32))


def test_ttq_gradients_are_the_published_ones_with_the_sign_of_w_n_put_right():
    W = weights()
    quantizer = TTQWeight()
    with torch.no_grad():
        quantizer.positive.fill_(0.5)
        quantizer.negative.fill_(0.25)
    g, found = gradient_of(quantizer, W)
    exact = W.double().numpy()
    delta = 0.05 * np.abs(exact).max()
    high, low = exact > delta, exact < -delta
    assert np.array_equal(found, g * np.select([high, low], [0.5, 0.25], 1.0))
    for parameter, terms in ((quantizer.positive, g[high]), (quantizer.negative, -g[low])):
        bound = terms.size * ONE_ROUNDING * np.abs(terms).sum()
        assert parameter.grad.item() == pytest.approx(terms.sum(), abs=bound)


def test_the_gradient_of_w_n_is_that_of_a_finite_difference():
    W, quantizer = weights(), TTQWeight()
    quantizer(W).sum().backward()
    with torch.no_grad():
        before = quantizer(W).double().sum()
        quantizer.negative.add_(0.125)
        moved = (quantizer(W).double().sum() - before) / 0.125
    assert quantizer.negative.grad.item() == moved.item()


@pytest.mark.parametrize("quantizer", [TWNWeight(), TTQWeight()])
def test_weights_that_are_all_0_stay_0(quantizer):
    assert not quantizer(torch.zeros(2, 3, 3, 3)).any()

"""ABC-Net against its published equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paconv.nn.schemes.abc_net import ABCActivation, ABCWeight
from tests.nn.schemes.helpers import activations, gradient_of, weights

ONE_ROUNDING = 2**-24


def bases(W: np.ndarray, M: int) -> np.ndarray:
    """B_i, (n, M)."""
    u = [0.0] if M == 1 else [-1 + i * 2 / (M - 1) for i in range(M)]
    return np.stack([np.where(W - W.mean() + shift * W.std() >= 0, 1.0, -1.0).reshape(-1) for shift in u], 1)


@pytest.mark.parametrize("M", [1, 2, 3, 5, 8])
def test_weights_are_the_least_squares_sum_of_shifted_signs(M):
    W = weights()
    exact = W.double().numpy()
    B = bases(exact, M)
    alpha = np.linalg.lstsq(B, exact.reshape(-1), rcond=None)[0]
    found = ABCWeight(M)(W).double().numpy().reshape(-1)
    # M + 1 coefficients, each rounded once, of sizes up to the sum of |alpha|.
    assert np.abs(found - B @ alpha).max() <= 4 * (M + 1) * ONE_ROUNDING * np.abs(alpha).sum()
    assert len(np.unique(found)) == M + 1


@pytest.mark.parametrize("M", [1, 5])
def test_the_gradient_of_weights_is_multiplied_by_the_sum_of_alpha(M):
    W = weights()
    exact = W.double().numpy()
    alpha = np.linalg.lstsq(bases(exact, M), exact.reshape(-1), rcond=None)[0]
    g, found = gradient_of(ABCWeight(M), W)
    assert np.allclose(found, g * alpha.sum(), rtol=1e-6, atol=0)


def test_a_constant_weight_stays_as_it_is():
    W = torch.full((2, 3, 3, 3), 0.25)
    assert torch.allclose(ABCWeight(3)(W), W, rtol=2**-22, atol=0)


def quantizer_of(v: list[float], beta: list[float]) -> ABCActivation:
    quantizer = ABCActivation(len(v))
    with torch.no_grad():
        quantizer.v.copy_(torch.tensor(v))
        quantizer.beta.copy_(torch.tensor(beta))
    return quantizer


V, BETA = [0.25, -0.75, 0.125, -0.75], [0.5, 0.25, -0.125, 1.0]  # not in order, two equal


def test_activations_are_the_sum_of_their_bases():
    x = activations()
    x.view(-1)[4:8] = 0.5 - torch.tensor(V)  # exactly on a threshold
    exact = x.double().numpy()
    A = [np.where(np.clip(exact + v, 0, 1) >= 0.5, 1.0, -1.0) for v in V]
    expected = sum(beta * a for beta, a in zip(BETA, A, strict=True))
    assert np.array_equal(quantizer_of(V, BETA)(x).detach().double().numpy(), expected)


def test_the_gradients_of_activations_shifts_and_coefficients_are_the_published_ones():
    x, quantizer = activations(), quantizer_of(V, BETA)
    g, found = gradient_of(quantizer, x)
    exact = x.double().numpy()
    windows = [(exact + v >= 0) & (exact + v <= 1) for v in V]
    A = [np.where(exact + v >= 0.5, 1.0, -1.0) for v in V]
    assert np.abs(found - g * sum(b * w for b, w in zip(BETA, windows, strict=True))).max() <= 8 * ONE_ROUNDING * 8
    for n, (beta, window) in enumerate(zip(BETA, windows, strict=True)):
        bound = g.size * ONE_ROUNDING * np.abs(g).sum()
        assert quantizer.beta.grad[n].item() == pytest.approx((g * A[n]).sum(), abs=bound)
        assert quantizer.v.grad[n].item() == pytest.approx(beta * (g * window).sum(), abs=bound)


def test_calibration_sets_thresholds_between_the_levels_of_data():
    x = activations(shape=(4, 8, 16, 16)).relu() * 3
    fresh, fitted = ABCActivation(5), ABCActivation(5)
    assert fitted.calibrate_(x.double().flatten())
    assert (fitted.beta > 0).all() and ((0.5 - fitted.v).diff() > 0).all()

    def spread(quantizer: ABCActivation) -> float:
        """Squared error up to a constant, which a batch norm behind the convolution takes."""
        error = (x - quantizer(x)).detach()
        return (error - error.mean()).square().sum().item()

    assert spread(fitted) < spread(fresh) / 2

"""Lloyd-Max quantizers of a normal variable, and the endpoints of weights."""

from __future__ import annotations

from math import inf

import pytest
import torch

from paconv.errors import UsageError
from paconv.gaussian import half_gaussian_quantizer, weight_endpoints
from paconv.nn.quantizers import PAWeight


def normal_quantiles(count: int) -> torch.Tensor:
    """A sample (count,) float64 that is as normal as `count` numbers can be."""
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def test_endpoints_for_eight_planes_are_those_of_table_1():
    assert weight_endpoints(8) == (-1.5, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 1.5)


@pytest.mark.parametrize("M, positive", [(2, [1.0]), (4, [0.5, 1.0]), (6, [1 / 3, 2 / 3, 4 / 3])])
def test_endpoints_for_fewer_planes_follow_the_same_rule(M, positive):
    assert weight_endpoints(M)[M // 2 :] == pytest.approx(positive, rel=1e-15)
    assert weight_endpoints(M)[: M // 2] == tuple(-p for p in reversed(weight_endpoints(M)[M // 2 :]))


@pytest.mark.parametrize(
    "N, v, beta",
    [
        (1, [0.6120], [1.2240]),
        (5, [0.1837, 0.5599, 0.9656, 1.4357, 2.0592], [0.3675, 0.7524, 1.1788, 1.6926, 2.4257]),
        (
            7,
            [0.1369, 0.4143, 0.7029, 1.013, 1.3605, 1.7763, 2.3437],
            [0.2739, 0.5548, 0.8511, 1.1749, 1.5461, 2.0065, 2.6809],
        ),
    ],
)
def test_initial_values_of_activations_are_the_published_ones(N, v, beta):
    found_v, found_beta = half_gaussian_quantizer(N)
    half_a_digit = 0.5e-4 + 1e-12
    assert found_v == pytest.approx(v, abs=half_a_digit)
    assert found_beta == pytest.approx(beta, abs=half_a_digit)


@pytest.mark.parametrize("N", [*range(1, 9), 16])
def test_each_level_is_the_mean_of_its_piece_and_each_endpoint_lies_midway_between_levels(N):
    v, beta = half_gaussian_quantizer(N)
    x = normal_quantiles(400_000)
    for low, high, level in zip(v, [*v[1:], inf], beta, strict=True):
        piece = x[(x >= low) & (x < high)]
        # On a grid of quantiles, one point more or less moves the mean by at most width / count.
        width = (piece.max() - piece.min()).item()
        assert piece.mean().item() == pytest.approx(level, abs=width / piece.numel())
    levels = [0.0, *beta]
    # Each endpoint moved by at most 1e-14 relative in the last round.
    assert v == pytest.approx([(a + b) / 2 for a, b in zip(levels, levels[1:], strict=False)], rel=1e-13)


@pytest.mark.parametrize("rule, error", [("paper", 0.100), ("lloyd", 0.080)])
def test_lloyd_endpoints_approximate_gaussian_weights_better_than_those_of_the_paper(rule, error):
    W = normal_quantiles(100_000)
    W_bar = PAWeight(4, endpoints=rule)(W)
    assert ((W - W_bar).square().mean() / W.var()).item() == pytest.approx(error, abs=0.0005)


@pytest.mark.parametrize("rule", ["paper", "lloyd"])
@pytest.mark.parametrize("M", [1, 3, 5, 7])
def test_an_odd_number_of_weight_planes_has_one_more_endpoint_above_0_than_below(M, rule):
    """Each side as an even number of planes has it, with as many endpoints there."""
    u, fewer, more = (
        weight_endpoints(M, rule),
        weight_endpoints(M - 1, rule) if M > 1 else (),
        weight_endpoints(M + 1, rule),
    )
    assert u == (*fewer[: M // 2], *more[(M + 1) // 2 :])


@pytest.mark.parametrize("M", [0, -2, 3.0, None, True])
def test_a_number_of_weight_planes_that_is_not_positive_is_refused(M):
    with pytest.raises(UsageError, match="M must be a positive integer"):
        weight_endpoints(M)


def test_an_unknown_rule_is_refused():
    with pytest.raises(UsageError, match="paper, lloyd; found 'uniform'"):
        weight_endpoints(4, "uniform")


@pytest.mark.parametrize("N", [0, -1, 2.0, None])
def test_a_number_of_activation_planes_that_is_not_positive_is_refused(N):
    with pytest.raises(UsageError, match="positive integer"):
        half_gaussian_quantizer(N)

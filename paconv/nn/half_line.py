"""Lloyd-Max quantizer of positive data whose lowest level is pinned at 0:

    beta_i = mean of x over [v_i, v_{i+1}), v_{N+1} = inf
    v_i    = (beta_{i-1} + beta_i) / 2, beta_0 = 0

repeated until nothing moves. Of data on both sides of 0 each half line has its own, of -x below 0, and N levels are
shared out so that the sum of squared errors is least:

    z = argmin_n  E(-x; n) + E(x; N - n),    E(x; n) = sum over x > 0 of (x - its level)^2 with n levels above 0
"""

from __future__ import annotations

import torch
from torch import Tensor

from paconv.gaussian import half_gaussian_quantizer

__all__ = ["centroids", "half_line_quantizer", "lloyd_max", "negative_share"]

_ROUNDS = 1000
"""Lloyd-Max rounds at most; data usually settle in well under a hundred."""


def half_line_quantizer(x: Tensor, N: int) -> tuple[Tensor, Tensor]:
    """Endpoints v and levels beta, (N,) float64 each, of the positive values among x (n,) float64.

    Without any, those of a half Gaussian of the scale of x.
    """
    positive = x[x > 0].sort().values
    scale = positive if positive.numel() else x
    unit = scale.square().mean().sqrt() if scale.any() else x.new_ones(())
    v, beta = (unit * x.new_tensor(c) for c in half_gaussian_quantizer(N))
    if not positive.numel():
        return v, beta
    v = lloyd_max(positive, v)
    return v, centroids(v, positive)


def lloyd_max(x: Tensor, v: Tensor) -> Tensor:
    """Endpoints (N,) from the first guess v (N,), for ascending positive x (n,); float64."""
    sums = _sums(x)
    for _ in range(_ROUNDS):
        beta = _means(v, x, sums)
        moved = (torch.cat([beta.new_zeros(1), beta[:-1]]) + beta) / 2
        if torch.equal(moved, v):
            break
        v = moved
    return v


def centroids(v: Tensor, x: Tensor, *, left_open: bool = False) -> Tensor:
    """Mean of the ascending x (n,) over each piece [v_i, v_{i+1}), or (v_i, v_{i+1}]; the endpoint v_i where a piece is
    empty.
    """
    return _means(v, x, _sums(x), left_open)


def negative_share(x: Tensor, N: int) -> int:
    """z, how many of N levels are best below 0 for the data x (n,) float64; the fewest of equally good ones."""
    errors = [[_squared_error(side, n) for n in range(N + 1)] for side in (-x, x)]
    both = torch.stack([errors[0][z] + errors[1][N - z] for z in range(N + 1)])
    return int((both == both.min()).nonzero()[0])


def _squared_error(x: Tensor, n: int) -> Tensor:
    """E(x; n)."""
    x = x[x > 0].sort().values
    total = x.square().sum()
    if not n or not x.numel():
        return total
    v, beta = half_line_quantizer(x, n)
    ends = torch.cat([torch.searchsorted(x, v), torch.tensor([x.numel()])])
    return total - (ends.diff() * beta.square()).sum()  # a level is the mean of its piece


def _sums(x: Tensor) -> Tensor:
    """(n+1,): the sum of the first 0, 1, .. n values."""
    return torch.cat([x.new_zeros(1), x.cumsum(0)])


def _means(v: Tensor, x: Tensor, sums: Tensor, left_open: bool = False) -> Tensor:
    ends = torch.cat([torch.searchsorted(x, v, right=left_open), torch.tensor([x.numel()])])
    count = ends.diff()
    return torch.where(count > 0, sums[ends].diff() / count.clamp(min=1), v)

"""Lloyd-Max quantizers of a half line (paconv.lloyd_max) as endpoints v and levels beta, in torch's tensors.

beta_i = mean of x over [v_i, v_{i+1}), v_{N+1} = inf
v_i    = (beta_{i-1} + beta_i) / 2, beta_0 = 0
"""

from __future__ import annotations

import torch
from torch import Tensor

from paconv import lloyd_max as numeric
from paconv.gaussian import half_gaussian_quantizer
from paconv.lloyd_max import SortedValues, levels_on_both_sides, midpoints

__all__ = ["centroids", "half_line_quantizer", "lloyd_max", "negative_share"]


def half_line_quantizer(x: Tensor, N: int) -> tuple[Tensor, Tensor]:
    """Endpoints v and levels beta, (N,) float64 each, of the positive values among x (n,) float64.

    Without any, those of a half Gaussian of the scale of x.
    """
    positive = x[x > 0]
    scale = positive if positive.numel() else x
    unit = scale.square().mean().sqrt() if scale.any() else x.new_ones(())
    v, beta = (unit * x.new_tensor(c) for c in half_gaussian_quantizer(N))
    if not positive.numel():
        return v, beta
    v = lloyd_max(positive, v)
    return v, centroids(v, positive)


def lloyd_max(x: Tensor, v: Tensor) -> Tensor:
    """Endpoints (N,) from the first guess v (N,), for positive x (n,); float64."""
    values = SortedValues.of(x.numpy())
    return torch.from_numpy(midpoints(numeric.lloyd_max(values, values.means(v.numpy(), 0), 0)))


def centroids(v: Tensor, x: Tensor, *, left_open: bool = False) -> Tensor:
    """Mean of x (n,) over each piece [v_i, v_{i+1}), or (v_i, v_{i+1}]; the endpoint v_i where a piece is empty."""
    return torch.from_numpy(SortedValues.of(x.numpy()).means(v.numpy(), 0, left_open=left_open)[1:])


def negative_share(x: Tensor, N: int) -> int:
    """z, how many of N levels are best below 0 for the data x (n,) float64."""
    return levels_on_both_sides(x.numpy(), N, signed=True)[1]

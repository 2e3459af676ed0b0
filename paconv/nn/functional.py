"""Forward and backward of the piecewise approximation (eqs. 6-14), as differentiable functions.

Weights, left-open pieces; u (M,) ascending, levels c = [alpha_1..alpha_z, 0, alpha_{z+1}..alpha_M], z = M/2, rounded
down:

    W_bar     = c[#{i: u_i < W}]                                                          (6)
    dW_bar/dW = slope_k on (s_{k-1}, s_k], k = 1..M;  s_k = (u_k + u_{k+1})/2, s_0 = -inf, s_M = inf    (8, 9)
    slope_k   = lambda_W (c_k - c_{k-1})

No gradient reaches u or c: both are functions of W that training treats as constants.

Activations, right-open pieces; v (N,) ascending, levels [0, beta_1..beta_N], beta_0 = 0:

    A_bar      = levels[#{i: v_i <= A}]                                                   (10)
    dA_bar/dA  = slope_i on [t_{i-1}, t_i), i = 1..N, zero outside                        (11)
    slope_i    = lambda_A (beta_i - beta_{i-1})
    t_i        = (v_i + v_{i+1})/2, t_N = v_N + lambda_Delta, t_0 = 2 v_1 - t_1           (12)
    dC/dbeta_i = sum of dC/dA_bar over piece i                                            (13)
    dC/dv_i    = - slope_i * sum of dC/dA_bar over segment i                              (14)

The text's eq. 12 has t_0 = 2 v_0 - s_1, where neither symbol exists; eq. 14 lacks the minus sign: raising an
endpoint lowers the output, which finite differences confirm. Without a lambda_A each segment has its own,
1/(t_i - t_{i-1}), which makes the slopes' integral equal to the steps' (area matched).

All of this holds for every A, 0 included. The exception is ours, and has to be asked for: where A went through a
ReLU (`rectified`), an A that is exactly 0 belongs to no segment. It is what the ReLU left of a negative activation,
and those lie below t_0 for all but a thin margin; taken as 0, half of all activations would pull at v_1 as soon as
t_0 <= 0. That concerns eq. 14; of eq. 11 the ReLU's own gradient lets nothing through at 0. NaN has level 0 and no
segment.

Signed activations, which no ReLU left, are ours: of the N endpoints the first z are below 0 and carry the same
equations mirrored. With P(A; v, beta) of eq. 10,

    A_bar = P(A; v_{z+1}..v_N, beta_{z+1}..beta_N) - P(-A; -v_z..-v_1, -beta_z..-beta_1)
          = levels[#{i: v_i <= A}],   levels = [beta_1..beta_z, 0, beta_{z+1}..beta_N]

and the gradients are those of the two terms by eqs. 11-14: dA_bar/dA is the sum of two slopes, eq. 13 holds as it is,
and so does eq. 14 with slope_i = lambda_A |beta_i - beta_{i-1}| over the mirrored segment, as both signs turn. What is
right-open above 0 is left-open in -A, so that a level is the same count of endpoints reached on both sides. NaN has the
lowest level.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "activation_levels",
    "approximate_activations",
    "approximate_weights",
    "count_above",
    "count_reached",
    "look_up",
    "segment_ends",
    "weight_levels",
]


def count_above(W: Tensor, endpoints: Tensor) -> Tensor:
    """#{i: endpoints_i < W} of each element: W (...), endpoints (E,), E <= 255 -> (...) uint8."""
    index = torch.zeros(W.shape, dtype=torch.uint8, device=W.device)
    for endpoint in endpoints.unbind():
        index += (W > endpoint).view(torch.uint8)
    return index


def count_reached(A: Tensor, endpoints: Tensor) -> Tensor:
    """#{i: endpoints_i <= A} of each element: A (...), endpoints (E,), E <= 255 -> (...) uint8; 0 for NaN."""
    index = torch.zeros(A.shape, dtype=torch.uint8, device=A.device)
    for endpoint in endpoints.unbind():
        index += (A >= endpoint).view(torch.uint8)
    return index


def look_up(levels: Tensor, index: Tensor) -> Tensor:
    """levels[index], bit for bit: levels (L,), index (...) uint8 below L -> (...) of levels' dtype."""
    return levels.index_select(0, index.reshape(-1).int()).view(index.shape)


def weight_levels(W: Tensor, u: Tensor) -> Tensor:
    """Levels c (M+1,): the mean of each piece of W (...) between the endpoints u (M,), 0 in the middle (eq.
    7).

    A piece without weights has no mean; it takes its endpoint nearest to 0, which no weight ever reads.
    """
    M = u.numel()
    piece = count_above(W, u).reshape(-1)
    total = torch.bincount(piece, weights=W.reshape(-1).double(), minlength=M + 1)
    count = torch.bincount(piece, minlength=M + 1)
    middle = u.new_zeros(1)
    nearest = torch.cat([u[: M // 2], middle, u[M // 2 :]])
    levels = torch.where(count > 0, (total / count.clamp(min=1)).to(u.dtype), nearest)
    return torch.cat([levels[: M // 2], middle, levels[M // 2 + 1 :]])


def activation_levels(beta: Tensor, negative: int = 0) -> Tensor:
    """[beta_1..beta_z, 0, beta_{z+1}..beta_N] (N+1,) of beta (N,), z = negative."""
    return torch.cat([beta[:negative], beta.new_zeros(1), beta[negative:]])


def segment_ends(v: Tensor, lambda_delta: float | Tensor) -> Tensor:
    """t_0..t_N of eq. 12 from v (N,) -> (N+1,)."""
    inner = torch.cat([(v[1:] + v[:-1]) / 2, v[-1:] + lambda_delta])  # t_1..t_N
    return torch.cat([2 * v[:1] - inner[:1], inner])


def approximate_weights(W: Tensor, u: Tensor, levels: Tensor, slope: Tensor) -> Tensor:
    """W_bar of eq. 6 with the gradient of eq. 8: W (...), u (M,), levels (M+1,), slope (M,) -> (...)."""
    return _ApproximateWeights.apply(W, u, levels, slope)


def approximate_activations(
    A: Tensor,
    v: Tensor,
    beta: Tensor,
    *,
    lambda_a: float | Tensor | None,
    lambda_delta: float | Tensor,
    least_width: float | Tensor,
    gradient_scale: float,
    rectified: bool = False,
    negative: int = 0,
) -> Tensor:
    """A_bar of eq. 10 with the gradients of eqs. 11, 13 and 14; `negative` endpoints and levels are below 0.

    A (...), v (N,), beta (N,) -> (...) of beta's dtype. lambda_a and lambda_delta are in units of
    1/activation and activation; lambda_a None is area matched, over segments of at least least_width. The
    gradients of v and beta are multiplied by gradient_scale. rectified: A went through a ReLU; exact zeros are
    what it left of negative activations, and belong to no segment.
    """
    return _ApproximateActivations.apply(
        A, v, beta, lambda_a, lambda_delta, least_width, gradient_scale, rectified, negative
    )


class _ApproximateWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx, W, u, levels, slope):
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(count_above(W, (u[1:] + u[:-1]) / 2), slope)
        return look_up(levels, count_above(W, u))

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        segment, slope = ctx.saved_tensors
        return g * look_up(slope, segment), None, None, None


class _ApproximateActivations(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A, v, beta, lambda_a, lambda_delta, least_width, gradient_scale, rectified, negative):
        levels = activation_levels(beta, negative)
        piece = count_reached(A, v)
        if any(ctx.needs_input_grad):

            def segments(x: Tensor, count: Callable, v: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
                """Of one side, mirrored if it is the negative one: the segment of each x, the slope of each segment."""
                t = segment_ends(v, lambda_delta)
                steepness = 1 / (t[1:] - t[:-1]).clamp(min=least_width) if lambda_a is None else lambda_a
                segment = count(x, t)
                if rectified:
                    segment *= (A != 0).view(torch.uint8)
                return segment, steepness * beta.diff(prepend=beta.new_zeros(1))

            saved = [piece]
            if negative < v.numel():
                saved += segments(A, count_reached, v[negative:], beta[negative:])
            if negative:
                saved += segments(-A, count_above, -v[:negative].flip(0), -beta[:negative].flip(0))
            ctx.save_for_backward(*saved)
            ctx.gradient_scale = gradient_scale
            ctx.input_dtype = A.dtype
            ctx.negative, ctx.N = negative, v.numel()
        return look_up(levels, piece)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        piece, *sides = ctx.saved_tensors
        N, z = ctx.N, ctx.negative
        grad_A = grad_v = grad_beta = None
        if ctx.needs_input_grad[0]:
            slopes = None
            for segment, slope in zip(sides[::2], sides[1::2], strict=True):
                outside = slope.new_zeros(1)
                here = look_up(torch.cat([outside, slope, outside]), segment)
                slopes = here if slopes is None else slopes + here
            grad_A = (g * slopes).to(ctx.input_dtype)
        exact = g.reshape(-1).double()
        if ctx.needs_input_grad[1]:
            found = []
            for segment, slope in zip(sides[::2], sides[1::2], strict=True):
                n = slope.numel()
                by_segment = torch.bincount(segment.reshape(-1), weights=exact, minlength=n + 2)[1 : n + 1]
                found.append(-(slope * by_segment * ctx.gradient_scale).to(slope.dtype))
            mirrored = [found.pop().flip(0)] if z else []
            grad_v = torch.cat([*mirrored, *found])
        if ctx.needs_input_grad[2]:
            by_piece = torch.bincount(piece.reshape(-1), weights=exact, minlength=N + 1)
            by_level = torch.cat([by_piece[:z], by_piece[z + 1 :]])
            grad_beta = (by_level * ctx.gradient_scale).to(sides[1].dtype)
        return grad_A, grad_v, grad_beta, None, None, None, None, None, None

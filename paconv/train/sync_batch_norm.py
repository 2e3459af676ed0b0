"""Batch norm over the joint batch of all processes, on any device (torch's SyncBatchNorm needs GPUs).

For each channel, over the n elements of all processes, sums over all of them written S:

    forward    mean = S(x)/n,  var = S(x^2)/n - mean^2,  x^ = (x - mean) r,  r = 1/sqrt(var + eps),  y = gamma x^ + beta
    backward   dx = gamma r (g - S(g)/n - x^ S(g x^)/n),  dgamma = sum g x^,  dbeta = sum g

g: gradient of the sum of all processes' losses. The sums of dgamma and dbeta are those of this process, which
DistributedDataParallel then averages like all other gradients. Sums are in float64, where S(x^2)/n - mean^2 of float32
values loses nothing that matters: its error is below 2^-50 mean(x^2).
Running statistics are updated as nn.BatchNorm2d does, with var n/(n-1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["SynchronizedBatchNorm", "synchronized_batch_norms"]


class SynchronizedBatchNorm(nn.Module):
    """Stands for `norm`, whose parameters and running statistics it shares under the same names."""

    def __init__(self, norm: _BatchNorm):
        super().__init__()
        self.norm = [norm]  # in a list: not a child, so that names stay
        self._parameters, self._buffers = norm._parameters, norm._buffers
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, ...) -> (B, C, ...)."""
        (norm,) = self.norm
        norm.train(self.training)
        if not self.training and norm.track_running_stats:
            return norm(x)
        axes = [0, *range(2, x.dim())]
        exact = x.detach().double()
        local = torch.cat([exact.sum(axes), exact.square().sum(axes), exact.new_tensor([x.numel() // x.shape[1]])])
        dist.all_reduce(local)
        n = local[-1]
        mean, square = (local[:-1] / n).chunk(2)
        var = (square - mean.square()).clamp(min=0)
        if self.training and norm.track_running_stats:
            self._track(norm, mean, var * n / (n - 1))
        channels = x.shape[1]
        weight = x.new_ones(channels) if norm.weight is None else norm.weight
        bias = x.new_zeros(channels) if norm.bias is None else norm.bias
        return _Normalize.apply(x, weight, bias, mean.to(x.dtype), (var + norm.eps).rsqrt().to(x.dtype), n.item())

    @torch.no_grad()
    def _track(self, norm: _BatchNorm, mean: Tensor, var: Tensor) -> None:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1
        share = 1 / norm.num_batches_tracked.item() if norm.momentum is None else norm.momentum
        for running, found in ((norm.running_mean, mean), (norm.running_var, var)):
            assert running is not None
            running.mul_(1 - share).add_(found.to(running.dtype), alpha=share)


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, mean, inverse_std, n):
        shape = (1, -1, *[1] * (x.dim() - 2))
        normal = (x - mean.view(shape)) * inverse_std.view(shape)
        ctx.save_for_backward(normal, weight * inverse_std)
        ctx.shape, ctx.n = shape, n
        return normal * weight.view(shape) + bias.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        normal, scale = ctx.saved_tensors
        axes = [0, *range(2, g.dim())]
        grad_bias = g.double().sum(axes)
        grad_weight = (g * normal).double().sum(axes)
        joint = torch.cat([grad_bias, grad_weight])
        dist.all_reduce(joint)
        mean_g, mean_gx = ((part / ctx.n).to(g.dtype).view(ctx.shape) for part in joint.chunk(2))
        grad_x = scale.view(ctx.shape) * (g - mean_g - normal * mean_gx)
        return grad_x, grad_weight.to(g.dtype), grad_bias.to(g.dtype), None, None, None


@contextmanager
def synchronized_batch_norms(model: nn.Module) -> Iterator[None]:
    """Within it, every batch norm in `model` works on the joint batch; names in its state dict stay what they are."""
    replaced = [
        (parent, key, child)
        for parent in list(model.modules())
        for key, child in parent._modules.items()
        if isinstance(child, _BatchNorm)
    ]
    made = {id(norm): SynchronizedBatchNorm(norm) for _, _, norm in replaced}
    for parent, key, norm in replaced:
        parent._modules[key] = made[id(norm)]
    try:
        yield
    finally:
        for parent, key, norm in replaced:
            norm.train(made[id(norm)].training)
            parent._modules[key] = norm

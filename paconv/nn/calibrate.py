"""Starting values from data: endpoints and levels of activations, and the statistics of batch norms.

Calibration of one quantizer from the positive finite part x of its input:

    unit   = sqrt(mean x^2)
    beta_i = mean of x over [v_i, v_{i+1}), v_{N+1} = inf
    v_i    = (beta_{i-1} + beta_i) / 2, beta_0 = 0

with the last two repeated, from unit * (initial v), until nothing moves: Lloyd-Max with the lowest level pinned at 0.
After a batch norm, where x is a half Gaussian of unit variance, unit is 1 and v and beta are the initial values. A
signed quantizer takes x on both sides of 0: unit from all of it but zeros, v and beta from each half line, with the
number of levels below 0 that makes the squared error least (paconv.nn.half_line).

Quantizers are calibrated in the order they run, in one forward: each sees its input as inference has it, after
approximated weights, calibrated activations and batch norms with running statistics. One that runs on several tensors
in a forward, as in a head of all levels of a pyramid or a recurrent cell, is set from all of them, each with as many
values as its size asks for: at each run from those so far, so that the runs after it see what it makes; in a second
forward it stays as the last run left it, and the others are set again, on what comes of that.

For a scheme that moves the mean of activations (ABC-Net) these inputs are another network's: the shifts would add up
from layer to layer, far from what training begins with. Batch norms then use the statistics of the samples, as in
training, and keep their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from paconv.errors import UsageError
from paconv.gaussian import gaussian_start, half_gaussian_quantizer
from paconv.nn.forwards import Batch, in_mode, inputs_of, removing
from paconv.nn.half_line import centroids, half_line_quantizer, lloyd_max, negative_share
from paconv.nn.quantizer import ActivationQuantizer
from paconv.nn.quantizers import PAActivation
from paconv.nn.schemes.registry import scheme_class
from paconv.nn.wrapping import unwrapped

__all__ = ["Calibration", "calibrate", "settle_batch_norm"]

_SAMPLE = 1 << 18
"""Activations a quantizer is calibrated from; more are subsampled (seeded)."""


@dataclass(frozen=True)
class Calibration:
    """What happened to one activation quantizer. A quantizer that never ran isn't listed."""

    name: str
    """Of the quantizer."""
    positive: int
    """Positive inputs it saw in all, in one forward; at 0 it keeps the half Gaussian's values, scaled by `unit`."""
    unit: float
    """Scale of its input."""
    negative: int = 0
    """Negative inputs that a signed quantizer saw in all."""
    below: int = 0
    """How many of its levels are below 0, of a signed quantizer."""

    def __str__(self) -> str:
        found = f"from {self.positive} positive activations" if self.positive else "never positive, default kept"
        if self.negative:
            found = f"from {self.positive} positive, {self.negative} negative activations, {self.below} levels below 0"
        return f"{self.name}: unit {self.unit:.4g}, {found}"


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Batch]) -> tuple[Calibration, ...]:
    """Set v, beta and unit of every PAActivation in `model` from data, in place.

    The activation quantizers of other schemes are set as far as they take anything from data. The model is in eval mode
    meanwhile.

    Args:
        model: A converted model.
        batches: Inputs (B, ...) of the model, or tuples of them in the order of forward's arguments, run as one batch;
            a few hundred images are enough.

    Returns:
        One Calibration per quantizer, in the order they run.

    Raises:
        UsageError: There is no batch, or `batches` aren't batches.
    """
    model, inputs = unwrapped(model), _joined(batches)
    done: dict[str, Calibration | None] = {}
    seen: dict[str, _Seen] = {}
    settled: set[str] = set()

    def hook(name: str):
        def calibrate_before_forward(quantizer: ActivationQuantizer, args: tuple) -> None:
            x = args[0].detach()
            rectified = isinstance(quantizer, PAActivation) and not quantizer.signed
            if name in settled or not seen.setdefault(name, _Seen(rectified)).add(x):
                return
            done[name] = _calibrate_one(name, quantizer, *seen[name].values(x))

        return calibrate_before_forward

    config = getattr(model, "paconv_conversion", {})
    with ExitStack() as stack:
        stack.enter_context(in_mode(model, training=False))
        if scheme_class(config.get("scheme", "pa")).moves_mean:
            stack.enter_context(_statistics_of_samples(model))
        for name, module in model.named_modules():
            if isinstance(module, ActivationQuantizer):
                stack.enter_context(removing(module.register_forward_pre_hook(hook(name))))
        model(*inputs)
        settled |= {name for name, runs in seen.items() if runs.count > 1}
        if settled:
            seen.clear()
            model(*inputs)
    return tuple(found for found in done.values() if found is not None)


@torch.no_grad()
def settle_batch_norm(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Set the running statistics of every batch norm to the mean over all batches, in place.

    For networks whose weights never saw data, or that were converted without training. Everything but batch norm is in
    eval mode meanwhile.

    Args:
        model: Any model with batch norms.
        batches: Inputs (B, ...) of the model, or tuples of them in the order of forward's arguments.

    Raises:
        UsageError: There is no batch, or `batches` aren't batches.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    count = 0
    with in_mode(model, training=False):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative average
            norm.train()
        try:
            for batch in batches:
                model(*inputs_of(batch))
                count += 1
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
    if not count:
        raise UsageError("settle_batch_norm needs at least one batch; found none")


class _Seen:
    """The tensors that a quantizer read in one forward, a sample of each. rectified: x and relu(x) are one to it."""

    def __init__(self, rectified: bool) -> None:
        self.rectified = rectified
        self.samples: list[Tensor] = []
        """(n,) of each tensor."""
        self.sizes: list[int] = []
        """Of each tensor."""
        self.positive = self.negative = 0

    @property
    def count(self) -> int:
        """How many tensors there were."""
        return len(self.samples)

    def add(self, x: Tensor) -> bool:
        """Take x (...) in; whether it is another tensor than those before. Several convolutions may read one."""
        flat = x.reshape(-1)
        sample = _sample(flat)
        if any(self._same(sample, other) for other in self.samples):
            return False
        self.samples.append(sample.clone())
        self.sizes.append(flat.numel())
        finite = flat[flat.isfinite()]
        self.positive += int((finite > 0).sum())
        self.negative += int((finite < 0).sum())
        return True

    def _same(self, a: Tensor, b: Tensor) -> bool:
        return torch.equal(a.relu(), b.relu()) if self.rectified else torch.equal(a, b)

    def values(self, x: Tensor) -> tuple[Tensor, int, int]:
        """(n,) of all tensors, the last of which is x, alike many of each for its size; and how many positive and
        negative ones there are.
        """
        values = x.reshape(-1)
        if self.count > 1:
            rate = min(len(sample) / size for sample, size in zip(self.samples, self.sizes, strict=True) if size)
            parts = zip(self.samples, self.sizes, strict=True)
            values = torch.cat([_sample(sample, round(rate * size)) for sample, size in parts])
        return values, self.positive, self.negative


def _calibrate_one(
    name: str, quantizer: ActivationQuantizer, x: Tensor, positives: int, negatives: int
) -> Calibration | None:
    """x (n,): inputs of the quantizer, or a sample of them; how many positive and negative ones there are in all."""
    x = x[x.isfinite()].double().cpu()
    positive = x[x > 0]
    if isinstance(quantizer, PAActivation) and quantizer.signed:
        unit, z = _calibrate_signed(quantizer, x[x != 0])
        return Calibration(name, positives, unit, negatives, z)
    scale = positive if positive.numel() else x
    unit = scale.square().mean().sqrt().item() if scale.any() else 1.0
    if isinstance(quantizer, PAActivation):
        _calibrate_pa(quantizer, _sample(positive), unit)
    elif not quantizer.calibrate_(_sample(x)):
        return None
    return Calibration(name, positives, unit)


def _calibrate_pa(quantizer: PAActivation, positive: Tensor, unit: float) -> None:
    quantizer.unit.fill_(unit)
    v, beta = (unit * torch.tensor(c, dtype=torch.float64) for c in half_gaussian_quantizer(quantizer.N))
    if not positive.numel():
        quantizer.v.copy_(v)
        quantizer.beta.copy_(beta)
        return
    x = positive.sort().values
    quantizer.v.copy_(lloyd_max(x, v))
    quantizer.project_()
    quantizer.beta.copy_(centroids(quantizer.v.detach().double().cpu(), x))


def _calibrate_signed(quantizer: PAActivation, x: Tensor) -> tuple[float, int]:
    """Unit, and the number of levels below 0. x (n,): inputs other than 0; without any the quantizer keeps the
    Gaussian's values.
    """
    unit = x.square().mean().sqrt().item() if x.numel() else 1.0
    quantizer.unit.fill_(unit)
    sample = _sample(x)
    z = negative_share(sample, quantizer.N) if x.numel() else quantizer.N // 2
    quantizer.negative.fill_(z)
    v, beta = (unit * torch.tensor(c, dtype=torch.float64) for c in gaussian_start(quantizer.N, z))
    below, above = (side[side > 0].sort().values for side in (-sample, sample))
    if z and below.numel():
        v[:z] = -half_line_quantizer(below, z)[0].flip(0)
    if z < quantizer.N and above.numel():
        v[z:] = half_line_quantizer(above, quantizer.N - z)[0]
    quantizer.v.copy_(v)
    quantizer.project_()
    v = quantizer.v.detach().double().cpu()
    if z and below.numel():
        beta[:z] = -centroids(-v[:z].flip(0), below, left_open=True).flip(0)
    if z < quantizer.N and above.numel():
        beta[z:] = centroids(v[z:], above)
    quantizer.beta.copy_(beta)
    return unit, z


def _sample(x: Tensor, most: int = _SAMPLE) -> Tensor:
    """x (n,), or `most` of its values where there are more."""
    if x.numel() <= most:
        return x
    return x[torch.randint(x.numel(), (most,), generator=torch.Generator().manual_seed(0))]


def _joined(batches: Iterable[Batch]) -> tuple[Tensor, ...]:
    """The inputs of all batches as those of one."""
    parts = [inputs_of(batch) for batch in batches]
    if not parts:
        raise UsageError("calibrate needs at least one batch; found none")
    counts = {len(part) for part in parts}
    if len(counts) > 1:
        raise UsageError(f"expected batches of as many inputs each; found some of {min(counts)} and of {max(counts)}")
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


@contextmanager
def _statistics_of_samples(model: nn.Module) -> Iterator[None]:
    """Let every batch norm normalize by the statistics of what it reads, its own left as they are."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, (training, track) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats = training, track

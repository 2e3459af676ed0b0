"""The two quantizers as modules: PAWeight (eqs. 6-9) and PAActivation (eqs. 10-14).

Units. Endpoints of weights are multiples of std(W) (around mean(W), if asked for), and lambda_W = lambda' / std(W): the
slope of W_bar doesn't depend on the scale of W. Activations have the scale `unit`: 1 where batch norm comes before, as
the paper has it, otherwise what calibration finds. lambda_Delta, lambda_A and the least gap between endpoints are in
terms of it.

A codebook (`PAWeight.adopt_`) fixes endpoints and levels, which are otherwise computed from W (paconv.nn.codebook).

On a grid (paconv.nn.snap_) the endpoints stay where they are; the gradient is that of the levels off the grid.

Exported to ONNX, each quantizer is one call of its paconv op, whose endpoints and levels are frozen
constants.
"""

from __future__ import annotations

from math import inf
from typing import ClassVar

import torch
from torch import Tensor, nn

from paconv.bits import one_hot_masks
from paconv.errors import CheckpointError, UsageError
from paconv.gaussian import gaussian_start, weight_endpoints
from paconv.nn.codebook import Codebook, flaw_of
from paconv.nn.functional import (
    activation_levels,
    approximate_activations,
    approximate_weights,
    count_above,
    count_reached,
    look_up,
    weight_levels,
)
from paconv.nn.on_grid import relative_error, snapped_levels
from paconv.nn.quantizer import ActivationQuantizer, WeightQuantizer, call_op
from paconv.nn.steps import Steps, straight_through
from paconv.schemes.records import PA

__all__ = ["BY_M", "LEAST_GAP", "PAActivation", "PAWeight", "check_planes"]

LEAST_GAP = 1e-2
"""Least v_1, least gap between endpoints, least segment width that area matching divides by; times `unit`."""

BY_M = "by-M"
"""The lambda' of weights that goes with the number of planes."""

_NO_SPREAD = 1e-6
"""A tensor with std below this fraction of its largest magnitude is constant up to float32 rounding."""


def check_planes(M: int, N: int | None) -> None:
    """Raise UsageError unless M is 1..8 and N is 1..8 or None (full-precision activations)."""
    if isinstance(M, bool) or not isinstance(M, int) or M not in PA.M:
        raise UsageError(f"M, the number of weight planes, must be 1..{PA.M[-1]}; found {M!r}")
    if N is not None and (isinstance(N, bool) or not isinstance(N, int) or not 1 <= N <= PA.most_N):
        raise UsageError(f"N, the number of activation planes, must be 1..{PA.most_N} or None; found {N!r}")


def _check_positive(**options: float | None) -> None:
    for name, value in options.items():
        if value is not None and not (isinstance(value, (int, float)) and 0 < value < inf):
            raise UsageError(f"{name} must be a positive number; found {value!r}")


class PAWeight(WeightQuantizer):
    """Piecewise approximation of a weight tensor: M endpoints, M+1 levels, recomputed from W at each forward (eqs.
    6-9), or held by a codebook.

    There is nothing to train, and nothing in the state dict but the grid and, where there is one, the codebook:
    `codebook` (M+1,) float64, c ascending with 0 in the middle, and `scales` (O,) float64, a_o >= 0.

    Args:
        M: Number of endpoints, 1..8: M // 2 below 0 and the others above.
        lambda_w: The paper's lambda_W times std(W); "by-M" is M/4. The paper has another for each M, and no values.
            With M/4 the slopes of Gaussian weights are around 1 for every M, as steps are about 4 std(W) / M.
        endpoints: "paper" (Table 1 at M = 8) or "lloyd".
        around_mean: Endpoints lie around mean(W) instead of 0. The paper fixes them "using mean(W) and std(W)", but its
            Table 1 has std(W) alone. The level of the middle piece is 0 all the same.

    Raises:
        UsageError: An argument has another value.
    """

    codebook: Tensor | None
    scales: Tensor | None
    u: Tensor | None
    levels: Tensor | None
    alpha: Tensor | None
    masks: Tensor | None

    grid_state: ClassVar[tuple[str, ...]] = ("most", "codebook", "scales")
    widens: ClassVar[bool] = False

    around_mean = False
    """Of one pickled before there was a choice."""

    def __init__(self, M: int, *, lambda_w: float | str = 2.0, endpoints: str = "paper", around_mean: bool = False):
        super().__init__()
        check_planes(M, None)
        weight_endpoints(M, endpoints)
        if isinstance(lambda_w, str) and lambda_w != BY_M:
            raise UsageError(f"lambda_w must be a positive number or {BY_M!r}; found {lambda_w!r}")
        if not isinstance(around_mean, bool):
            raise UsageError(f"around_mean must be True or False; found {around_mean!r}")
        self.M = M
        self.lambda_w = M / 4 if isinstance(lambda_w, str) else lambda_w
        _check_positive(lambda_w=self.lambda_w)
        self.endpoints = endpoints
        self.around_mean = around_mean
        for name in ("u", "levels", "alpha", "masks"):
            self.register_buffer(name, None, persistent=False)

    @torch.no_grad()
    def adopt_(self, codebook: Tensor, scales: Tensor) -> None:
        """Take levels as they are given, c (M+1,) and a scale for each output channel (O,), from now on.

        Raises UsageError unless c ascends and is 0 in the middle, and all is finite, no scale below 0.
        """
        if (flaw := flaw_of(codebook, scales, self.M)) is not None:
            raise UsageError(flaw)
        self.codebook, self.scales = (tensor.detach().double().clone() for tensor in (codebook, scales))
        self.u = self.levels = self.alpha = self.masks = None

    @property
    def book(self) -> Codebook | None:
        """The codebook, if there is one."""
        return None if self.codebook is None or self.scales is None else Codebook(self.codebook, self.scales)

    def codebook_shapes(self, outputs: int) -> dict[str, tuple[int, ...]]:
        return {"codebook": (self.M + 1,), "scales": (outputs,)}

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        found = [state_dict.get(prefix + name) for name in ("codebook", "scales")]
        there = any(tensor is not None for tensor in found)
        if there and (flaw := flaw_of(*found, self.M)) is not None:
            raise CheckpointError(f"{prefix.rstrip('.')}: {flaw}")
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for name in ("alpha", "masks"):
            if name not in self._buffers:  # pickled before there were codebooks
                self.register_buffer(name, None, persistent=False)

    @torch.no_grad()
    def endpoints_and_levels(self, W: Tensor) -> tuple[Tensor, Tensor]:
        """u (M,) ascending and levels (M+1,) of W (...), in W's dtype, the levels on the grid in eval mode if there is
        one; the frozen ones after `freeze`. With a codebook they are (O, 1, 1, 1, M) and (O, 1, 1, 1, M+1).
        """
        if self.u is not None and self.levels is not None:
            return self.u, self.levels
        if self.book is not None:
            book = self._present_book(W)
            u, levels = book.steps(W.dtype).endpoints, book.table(W.dtype)
            return u[:, None, None, None], levels[:, None, None, None]
        u, levels = self._off_grid(W)
        return u, levels if self.on_grid is None else self._snapped(W, u, levels)

    def _off_grid(self, W: Tensor) -> tuple[Tensor, Tensor]:
        u = torch.tensor(weight_endpoints(self.M, self.endpoints), dtype=torch.float64, device=W.device)
        u = u * _std(W)
        if self.around_mean:
            u = u + W.detach().double().mean()
        u = u.to(W.dtype)
        return u, weight_levels(W, u)

    def _snapped(self, W: Tensor, u: Tensor, levels: Tensor) -> Tensor:
        assert self.most is not None
        return snapped_levels(levels, _weight_counts(W, u), int(self.most), self._memory)

    def _present_book(self, W: Tensor) -> Codebook:
        """The codebook, on the grid in eval mode."""
        assert self.book is not None
        return self.book if self.on_grid is None else self.book.snapped(W, self.on_grid, self._memory)

    def _steps(self, W: Tensor) -> Steps:
        """Those of the codebook, frozen or present."""
        if self.u is None or self.alpha is None or self.masks is None:
            return self._present_book(W).steps(W.dtype)
        return Steps(self.u[:, 0, 0, 0], self.alpha, self.masks)

    @torch.no_grad()
    def natural_integer(self, W: Tensor, most: int) -> int | None:
        return None if self.book is None else self.book.largest_integer(most)

    @torch.no_grad()
    def grid_error(self, W: Tensor) -> float:
        if self.most is None:
            return 0.0
        if self.book is not None:
            return self.book.grid_error(W, int(self.most), self._memory)
        u, levels = self._off_grid(W)
        return relative_error(levels[None], self._snapped(W, u, levels)[None], _weight_counts(W, u)[None])

    @torch.no_grad()
    def freeze(self, W: Tensor) -> None:
        """Fix u and levels at those of W. The decisions of `forward` are the same before and after."""
        self.u = self.levels = self.alpha = self.masks = None
        u, levels = self.endpoints_and_levels(W)
        if self.book is not None:
            steps = self._steps(W)
            self.alpha, self.masks = steps.coefficients, steps.masks
        self.u, self.levels = u, levels

    def forward(self, W: Tensor) -> Tensor:
        """W_bar (...) of W (...); with a codebook W is (O, C/g, KH, KW)."""
        if torch.onnx.is_in_onnx_export():
            planes = () if self.book is None else (self.alpha, self.masks)
            return call_op("PAWeight", (W, self.u, self.levels, *planes), W)
        if self.book is not None:
            return self._by_codebook(W)
        u, levels = self.endpoints_and_levels(W)
        off_grid = levels if self.on_grid is None or not torch.is_grad_enabled() else self._off_grid(W.detach())[1]
        return approximate_weights(W, u, levels, self._slope(W.detach(), off_grid))

    def _by_codebook(self, W: Tensor) -> Tensor:
        book = self.book
        assert book is not None
        with torch.no_grad():
            W_bar = self._steps(W).of_weights(W)
        if not torch.is_grad_enabled():
            return W_bar
        levels, normalized = book.levels.to(W.dtype), book.normalized(W)
        alive = normalized.detach()[book.scales > 0]
        slope = self._slope(alive if len(alive) else normalized.detach(), levels)
        through = approximate_weights(normalized, book.endpoints.to(W.dtype), levels, slope)
        return straight_through(W_bar, book.times_scales(through))

    def _slope(self, W: Tensor, levels: Tensor) -> Tensor:
        """Slopes (M,) of eq. 8; 1 for a tensor without spread, which has no lambda_W = lambda'/std(W)."""
        std = _std(W)
        slope = self.lambda_w / std * (levels[1:] - levels[:-1])
        return torch.where(std > _NO_SPREAD * W.abs().amax(), slope, 1.0).to(W.dtype)

    def extra_repr(self) -> str:
        text = f"M={self.M}, lambda_w={self.lambda_w}, endpoints={self.endpoints!r}"
        text += ", around_mean=True" if self.around_mean else ""
        return text + (", codebook" if self.book is not None else "")


class PAActivation(ActivationQuantizer):
    """Piecewise approximation of activations: N trainable endpoints `v` and coefficients `beta` (eqs. 10-14).

    Initial values are the Lloyd-Max quantizer of a half Gaussian (paconv.gaussian), on both sides of 0 if `signed`,
    where the state dict has `negative` too: () int64, how many endpoints and levels are below 0. Gradients of v and
    beta are scaled by 1/sqrt(numel(A) N), so that one learning rate serves them and the weights. Call `project_` after
    each optimizer step.

    Args:
        N: Number of endpoints, 1..8. lambda_a: The paper's lambda_A times `unit`, one number for all segments, as the
        paper has it; None, the default,
            is ours and matches the area of each step.
        lambda_delta: The paper's lambda_Delta over `unit`.
        rectified: The input is the output of a ReLU; exact zeros are what it left of negative activations, and belong
            to no segment (paconv.nn.functional). Otherwise eqs. 11 and 14 hold for zeros as for any other activation.
        signed: Endpoints and levels on both sides of 0, which calibration shares out: at first N // 2 are negative.

    Raises:
        UsageError: An argument has another value.
    """

    unit: Tensor
    negative: Tensor
    frozen_levels: Tensor | None
    frozen_beta: Tensor | None
    frozen_masks: Tensor | None

    widens: ClassVar[bool] = False
    signed = False
    """Of a quantizer pickled before there were signed ones."""

    def __init__(
        self,
        N: int,
        *,
        lambda_a: float | None = None,
        lambda_delta: float = 1.0,
        rectified: bool = False,
        signed: bool = False,
    ):
        super().__init__()
        check_planes(2, N)
        if N is None:
            raise UsageError("PAActivation needs N from 1 to 8; N=None means to have no PAActivation")
        _check_positive(lambda_a=lambda_a, lambda_delta=lambda_delta)
        self.N = N
        self.lambda_a = lambda_a
        self.lambda_delta = lambda_delta
        self.rectified = rectified
        self.signed = signed
        v, beta = (torch.tensor(values) for values in gaussian_start(N, N // 2 if signed else 0))
        self.v = nn.Parameter(v)
        self.beta = nn.Parameter(beta)
        self.register_buffer("unit", torch.tensor(1.0))
        self.register_buffer("frozen_levels", None, persistent=False)
        if signed:
            self.register_buffer("negative", torch.tensor(N // 2))
            self.register_buffer("frozen_beta", None, persistent=False)
            self.register_buffer("frozen_masks", None, persistent=False)

    @property
    def below(self) -> int:
        """How many endpoints and levels are below 0."""
        return int(self.negative) if self.signed else 0

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        found = state_dict.get(prefix + "negative") if self.signed else None
        if found is not None and not (found.shape == () and 0 <= int(found) <= self.N):
            raise CheckpointError(f"{prefix}negative: expected how many of {self.N} levels are below 0; found {found}")
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def levels(self) -> Tensor:
        """[0, beta_1 .. beta_N] (N+1,), 0 behind the negative ones: level values by index; on the grid in eval mode, if
        there is one.
        """
        if self.frozen_levels is not None:
            return self.frozen_levels
        levels = activation_levels(self.beta, self.below)
        return levels if self.on_grid is None else self._snapped(levels)

    def _snapped(self, levels: Tensor) -> Tensor:
        assert self.most is not None
        return snapped_levels(levels.detach(), self.occurrences(), int(self.most), self._memory)

    @torch.no_grad()
    def pieces(self, x: Tensor) -> Tensor:
        return count_reached(x, self.v)

    def endpoints_and_scale(self) -> tuple[Tensor, Tensor]:
        return self.v.detach().sort().values, self.unit

    @torch.no_grad()
    def grid_error(self) -> float:
        if self.most is None:
            return 0.0
        levels = activation_levels(self.beta, self.below)
        return relative_error(levels[None], self._snapped(levels)[None], self.occurrences()[None])

    @torch.no_grad()
    def freeze(self) -> None:
        """Fix the present levels, as a constant for the export, and put v in ascending order.

        A level index counts endpoints, whatever their order, so `forward` is the same before and after.
        """
        self.v.copy_(self.v.sort().values)
        self.frozen_levels = None
        self.frozen_levels = self.levels()
        if self.signed:
            z = self.below
            self.frozen_masks = torch.tensor(one_hot_masks(self.N, z), dtype=torch.uint8, device=self.v.device)
            levels = self.frozen_levels
            self.frozen_beta = torch.cat([levels.new_zeros(1), levels[:z], levels[z + 1 :]])

    @torch.no_grad()
    def project_(self) -> None:
        """Make v admissible again: ascending, on each side of 0 its first endpoint and all gaps at least LEAST_GAP *
        unit.
        """
        z = self.below
        self.v[z:] = self._admissible(self.v[z:])
        if z:
            self.v[:z] = -self._admissible(-self.v[:z]).flip(0)

    def _admissible(self, v: Tensor) -> Tensor:
        """v (n,) of one side, ascending from 0."""
        gap = LEAST_GAP * self.unit
        least = gap * torch.arange(1, v.numel() + 1, device=v.device)
        # v_i <- max over j <= i of (v_j + (i - j) gap), with v_0 = 0: a running maximum of v_i - i gap.
        v = v.sort().values
        slack = v - least
        needed = slack.clamp(min=0).cummax(0).values if v.numel() else slack
        return torch.where(needed == slack, v, needed + least)  # an admissible v stays bit for bit

    def forward(self, x: Tensor) -> Tensor:
        """x_bar (...) of x (...): levels[#{j: v_j <= x}]. NaN has the lowest level."""
        if torch.onnx.is_in_onnx_export():
            planes = (self.frozen_beta, self.frozen_masks) if self.signed else ()
            return call_op("PAActivation", (x, self.v, self.frozen_levels, *planes), x)
        if self.on_grid is None:
            return self._off_grid(x)
        x_bar = look_up(self.levels(), self.pieces(x))
        return straight_through(x_bar, self._off_grid(x)) if torch.is_grad_enabled() else x_bar

    def _off_grid(self, x: Tensor) -> Tensor:
        return approximate_activations(
            x,
            self.v,
            self.beta,
            lambda_a=None if self.lambda_a is None else self.lambda_a / self.unit,
            lambda_delta=self.lambda_delta * self.unit,
            least_width=LEAST_GAP * self.unit,
            gradient_scale=(max(x.numel(), 1) * self.N) ** -0.5,
            rectified=self.rectified,
            negative=self.below,
        )

    def extra_repr(self) -> str:
        text = f"N={self.N}, lambda_a={self.lambda_a}, lambda_delta={self.lambda_delta}, rectified={self.rectified}"
        return text + (", signed=True" if self.signed else "")


def _weight_counts(W: Tensor, u: Tensor) -> Tensor:
    """(M+1,) int64: how many weights are in each piece."""
    return torch.bincount(count_above(W, u).reshape(-1), minlength=len(u) + 1)


def _std(W: Tensor) -> Tensor:
    return W.detach().double().std(unbiased=False)

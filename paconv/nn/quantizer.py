"""The two quantizers of a scheme, as modules: what they have in common, whatever their equations.

A *weight quantizer* turns a weight tensor W into W_bar, an *activation quantizer* x into x_bar. Most schemes give the
step function (paconv.nn.steps) and, for training, an expression that carries the gradient; SteppedWeight and
SteppedActivation do the rest: the forward, freezing, and the export as one call of a paconv op.

A quantizer can be put on an integer grid (paconv.nn.snap_): in eval mode its levels are then the nearest integers
times a unit, a function of the levels that it has without, which training goes on with.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from paconv.errors import ExportError
from paconv.nn.on_grid import Memory, largest_integer, relative_error, snapped_steps
from paconv.nn.steps import Steps, straight_through
from paconv.ops.schema import DOMAIN, OPSET_VERSION

__all__ = [
    "ActivationQuantizer",
    "Quantizer",
    "SteppedActivation",
    "SteppedWeight",
    "WeightQuantizer",
    "call_op",
    "grid_tensors",
]

_NORMAL_COUNT = 1 << 20
"""Number of activations that `ActivationQuantizer.occurrences` has of a normal distribution."""


class Quantizer(nn.Module):
    """most: () int64, the largest integer of the grid that the levels are on in eval mode; None: not on one.

    The state dict has `most`, and `counts` of an activation quantizer, where they aren't None; loading one sets them to
    what is in it, or to None.
    """

    most: Tensor | None

    grid_state: ClassVar[tuple[str, ...]] = ("most",)
    widens: ClassVar[bool] = True
    """Whether the default grid has 8 bits where the small one moves the levels too far."""

    def __init__(self) -> None:
        super().__init__()
        self._start_off_grid()

    def _start_off_grid(self) -> None:
        for name in self.grid_state:
            self.register_buffer(name, None)
        self._memory = Memory()

    @property
    def on_grid(self) -> int | None:
        """`most` as a number where it matters: not in training."""
        return None if self.most is None or self.training else int(self.most)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        for name in self.grid_state:
            found = state_dict.get(prefix + name)
            setattr(self, name, None if found is None else found.clone())
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for name in self.grid_state:
            if name not in self._buffers:  # pickled before there was such a thing
                self.register_buffer(name, None)
        if "_memory" not in self.__dict__:
            self._memory = Memory()


class WeightQuantizer(Quantizer):
    """W (O, C/g, KH, KW) -> W_bar of the same shape."""

    def initialize_(self, W: Tensor) -> None:
        """Set trainable parameters, if there are any, from the weights W of the convolution that is converted."""

    @abstractmethod
    def freeze(self, W: Tensor) -> None:
        """Fix whatever depends on W at what it is now. The decisions of `forward` are the same before and after."""

    def natural_integer(self, W: Tensor, most: int) -> int | None:
        """The largest integer, up to `most`, of levels that are integers times a unit as published; None where they
        aren't.
        """
        return None

    @abstractmethod
    def grid_error(self, W: Tensor) -> float:
        """How far the levels move to the grid, relative (paconv.nn.on_grid); 0 where they are on none."""

    def codebook_shapes(self, outputs: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors that the state dict has, beside those of the grid, where levels are given
        instead of computed, for so many output channels; none where there is no such thing.
        """
        return {}


class ActivationQuantizer(Quantizer):
    """x (...) -> x_bar (...). counts: (E+1,) int64, how often each level occurred where that was counted."""

    counts: Tensor | None

    grid_state: ClassVar[tuple[str, ...]] = ("most", "counts")

    @abstractmethod
    def freeze(self) -> None:
        """Fix endpoints and levels as constants for the export. `forward` is the same before and after."""

    def project_(self) -> None:
        """Make trained parameters admissible again, after an optimizer step."""

    def calibrate_(self, x: Tensor) -> bool:
        """Set parameters from a sample x (n,) of finite float64 inputs. Returns whether there was anything to set."""
        return False

    @abstractmethod
    def pieces(self, x: Tensor) -> Tensor:
        """The index of the level of each x (...): integers (...)."""

    @abstractmethod
    def endpoints_and_scale(self) -> tuple[Tensor, Tensor]:
        """Endpoints (E,) ascending and () the standard deviation of activations as the quantizer expects them."""

    @torch.no_grad()
    def occurrences(self) -> Tensor:
        """(E+1,) int64: how often each level occurs; as counted, otherwise of normal activations, of mean 0."""
        if self.counts is not None:
            return self.counts
        v, scale = self.endpoints_and_scale()
        below = torch.special.ndtr(v.double().cpu() / scale.double().cpu())
        shares = torch.cat([below, below.new_ones(1)]).diff(prepend=below.new_zeros(1))
        return (_NORMAL_COUNT * shares).round().long()

    def natural_integer(self, most: int) -> int | None:
        """The largest integer, up to `most`, of levels that are integers times a unit as published; None where they
        aren't.
        """
        return None

    @abstractmethod
    def grid_error(self) -> float:
        """How far the levels move to the grid, relative (paconv.nn.on_grid); 0 where they are on none."""


class SteppedWeight(WeightQuantizer):
    """A weight quantizer given by its step function and by what carries the gradient."""

    u: Tensor | None
    levels: Tensor | None
    alpha: Tensor | None
    masks: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        for name in ("u", "levels", "alpha", "masks"):
            self.register_buffer(name, None, persistent=False)

    @abstractmethod
    def steps(self, W: Tensor) -> Steps:
        """The step function of W (O, C/g, KH, KW). Called without gradients."""

    @abstractmethod
    def through(self, W: Tensor, steps: Steps) -> Tensor:
        """An expression (O, C/g, KH, KW) that has, for autograd, the published gradient of W_bar; steps: those of W, on
        no grid.
        """

    @torch.no_grad()
    def freeze(self, W: Tensor) -> None:
        self.u = None
        steps = self._present(W)
        # As PAWeight takes them: broadcast against W with one more axis behind.
        self.u, self.levels = (t[:, None, None, None] for t in (steps.endpoints, steps.levels))
        self.alpha, self.masks = steps.coefficients, steps.masks

    def forward(self, W: Tensor) -> Tensor:
        """W_bar (O, C/g, KH, KW) of W (O, C/g, KH, KW)."""
        if torch.onnx.is_in_onnx_export():
            return call_op("PAWeight", (W, self.u, self.levels, self.alpha, self.masks), W)
        with torch.no_grad():
            steps = self._present(W)
            W_bar = steps.of_weights(W)
        if not torch.is_grad_enabled():
            return W_bar
        return straight_through(W_bar, self.through(W, steps if self.on_grid is None else self.steps(W.detach())))

    def _present(self, W: Tensor) -> Steps:
        """The step function: the frozen one after `freeze`; on the grid, if the levels are."""
        if self.u is None or self.alpha is None or self.masks is None:
            steps = self.steps(W.detach())
            return steps if self.on_grid is None else self._snapped(W, steps)
        return Steps(self.u[:, 0, 0, 0], self.alpha, self.masks)

    def _snapped(self, W: Tensor, steps: Steps) -> Steps:
        assert self.most is not None
        return snapped_steps(steps, steps.count_weights(W), int(self.most), self._memory)

    @torch.no_grad()
    def natural_integer(self, W: Tensor, most: int) -> int | None:
        return largest_integer(self.steps(W), most)

    @torch.no_grad()
    def grid_error(self, W: Tensor) -> float:
        steps = self.steps(W)
        if self.most is None:
            return 0.0
        return relative_error(steps.levels, self._snapped(W, steps).levels, steps.count_weights(W))


class SteppedActivation(ActivationQuantizer):
    """An activation quantizer given by its step function and by what carries the gradient."""

    frozen_v: Tensor | None
    frozen_levels: Tensor | None
    frozen_beta: Tensor | None
    frozen_masks: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        for name in ("frozen_v", "frozen_levels", "frozen_beta", "frozen_masks"):
            self.register_buffer(name, None, persistent=False)

    @abstractmethod
    def steps(self) -> Steps:
        """The step function, of one row, on any device. Called without gradients."""

    @abstractmethod
    def through(self, x: Tensor, steps: Steps) -> Tensor:
        """An expression (...) that has, for autograd, the published gradient of x_bar; steps: the present ones, on no
        grid.
        """

    @torch.no_grad()
    def freeze(self) -> None:
        self.frozen_v = None
        steps = self._present()
        self.frozen_v, self.frozen_levels = steps.endpoints[0], steps.levels[0]
        self.frozen_beta, self.frozen_masks = steps.coefficients[0], steps.masks[0]

    def forward(self, x: Tensor) -> Tensor:
        """x_bar (...) of x (...). NaN is below every endpoint."""
        if torch.onnx.is_in_onnx_export():
            frozen = (self.frozen_v, self.frozen_levels, self.frozen_beta, self.frozen_masks)
            return call_op("PAActivation", (x, *frozen), x)
        with torch.no_grad():
            steps = self._present().beside(x)
            x_bar = steps.of_activations(x)
        if not torch.is_grad_enabled():
            return x_bar
        return straight_through(x_bar, self.through(x, steps if self.on_grid is None else self.steps().beside(x)))

    def _present(self) -> Steps:
        if self.frozen_v is None or self.frozen_beta is None or self.frozen_masks is None:
            steps = self.steps()
            return steps if self.on_grid is None else self._snapped(steps)
        return Steps(self.frozen_v[None], self.frozen_beta[None], self.frozen_masks[None])

    def _snapped(self, steps: Steps) -> Steps:
        assert self.most is not None
        return snapped_steps(steps, self.occurrences()[None], int(self.most), self._memory)

    @torch.no_grad()
    def pieces(self, x: Tensor) -> Tensor:
        return self.steps().beside(x).pieces(x)

    def endpoints_and_scale(self) -> tuple[Tensor, Tensor]:
        v = self.steps().endpoints[0]
        return v, v.new_ones(())

    @torch.no_grad()
    def natural_integer(self, most: int) -> int | None:
        return largest_integer(self.steps(), most)

    @torch.no_grad()
    def grid_error(self) -> float:
        steps = self.steps()
        if self.most is None:
            return 0.0
        return relative_error(steps.levels, self._snapped(steps).levels, self.occurrences()[None])


def grid_tensors(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the int64 tensors that `model`'s state dict has if its levels are on a grid, all >= 0."""
    found: dict[str, tuple[int, ...]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, Quantizer):
            found[f"{prefix}.most".lstrip(".")] = ()
            if isinstance(module, ActivationQuantizer):
                found[f"{prefix}.counts".lstrip(".")] = (len(module.endpoints_and_scale()[0]) + 1,)
    return found


def call_op(op: str, inputs: tuple[Tensor | None, ...], like: Tensor) -> Tensor:
    """One call of paconv op `op`, in an export. Raises ExportError where an input isn't there yet: not frozen."""
    if any(tensor is None for tensor in inputs):
        raise ExportError(f"{op} is not frozen; export with paconv.export, which freezes a copy of the model")
    return torch.onnx.ops.symbolic(f"{DOMAIN}::{op}", inputs, dtype=like.dtype, shape=like.shape, version=OPSET_VERSION)

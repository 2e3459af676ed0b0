"""The two quantizers of a scheme, as modules: what they have in common, whatever their equations.

A *weight quantizer* turns a weight tensor W into W_bar, an *activation quantizer* x into x_bar. Most schemes give the
step function (paconv.nn.steps) and, for training, an expression that carries the gradient; SteppedWeight and
SteppedActivation do the rest: the forward, freezing, and the export as one call of a paconv op.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from paconv.errors import ExportError
from paconv.nn.steps import Steps, straight_through
from paconv.ops.schema import DOMAIN, OPSET_VERSION

__all__ = ["ActivationQuantizer", "SteppedActivation", "SteppedWeight", "WeightQuantizer", "call_op"]


class WeightQuantizer(nn.Module):
    """W (O, C/g, KH, KW) -> W_bar of the same shape."""

    def initialize_(self, W: Tensor) -> None:
        """Set trainable parameters, if there are any, from the weights W of the convolution that is converted."""

    @abstractmethod
    def freeze(self, W: Tensor) -> None:
        """Fix whatever depends on W at what it is now. The decisions of `forward` are the same before and after."""


class ActivationQuantizer(nn.Module):
    """x (...) -> x_bar (...)."""

    @abstractmethod
    def freeze(self) -> None:
        """Fix endpoints and levels as constants for the export. `forward` is the same before and after."""

    def project_(self) -> None:
        """Make trained parameters admissible again, after an optimizer step."""

    def calibrate_(self, x: Tensor) -> bool:
        """Set parameters from a sample x (n,) of finite float64 inputs. Returns whether there was anything to set."""
        return False


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
        """An expression (O, C/g, KH, KW) that has, for autograd, the published gradient of W_bar; steps: those of W."""

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
        return straight_through(W_bar, self.through(W, steps)) if torch.is_grad_enabled() else W_bar

    def _present(self, W: Tensor) -> Steps:
        """The step function: the frozen one after `freeze`."""
        if self.u is None or self.alpha is None or self.masks is None:
            return self.steps(W.detach())
        return Steps(self.u[:, 0, 0, 0], self.alpha, self.masks)


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
        """An expression (...) that has, for autograd, the published gradient of x_bar; steps: the present ones."""

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
        return straight_through(x_bar, self.through(x, steps)) if torch.is_grad_enabled() else x_bar

    def _present(self) -> Steps:
        if self.frozen_v is None or self.frozen_beta is None or self.frozen_masks is None:
            return self.steps()
        return Steps(self.frozen_v[None], self.frozen_beta[None], self.frozen_masks[None])


def call_op(op: str, inputs: tuple[Tensor | None, ...], like: Tensor) -> Tensor:
    """One call of paconv op `op`, in an export. Raises ExportError where an input isn't there yet: not frozen."""
    if any(tensor is None for tensor in inputs):
        raise ExportError(f"{op} is not frozen; export with paconv.export, which freezes a copy of the model")
    return torch.onnx.ops.symbolic(f"{DOMAIN}::{op}", inputs, dtype=like.dtype, shape=like.shape, version=OPSET_VERSION)

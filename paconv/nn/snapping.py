"""`snap_`: put a model's levels on an integer grid, so that its convolutions are exact sums of integers.

    alpha_i = a k_i,  |k_i| <= A         beta_j = b l_j,  0 <= l_j <= B        sum_k w x = a b * sum k l

a a tensor, or an output channel where a scheme has coefficients for each; b a quantizer, of signed activations with
|l_j| <= min(B, 127). The unit is the least-squares one, over the levels as often as they occur: weights are counted,
activations on samples. Endpoints stay.

PA's levels are real and become integers up to (A, B). Schemes whose coefficients are integers times a unit as published
(one bit, three equal values, evenly spaced) stay as they are, up to 8 bits. The levels of ABC-Net, TTQ and LQ-Net are
snapped as PA's; in the default grid to 8 bits where the small one moves them by more than WIDE_ERROR.

The grid is a state of each quantizer, kept in checkpoints. It holds in eval mode; training goes on with real levels,
as if there were none, so that a model may be fine-tuned afterwards and is on the grid again in eval mode.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paconv.errors import UsageError
from paconv.grid import DEFAULT_GRID, MOST_ACTIVATION, MOST_WEIGHT, GridChoice, checked_grid, largest_integers
from paconv.nn.forwards import Batch, in_mode, inputs_of, removing
from paconv.nn.layers import PAConv2d
from paconv.nn.quantizer import ActivationQuantizer
from paconv.nn.quantizers import PAActivation
from paconv.nn.wrapping import unwrapped
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table

__all__ = ["WIDE_ERROR", "LayerLevels", "LevelReport", "level_report", "levels_table", "snap_", "snap_if_real_"]

WIDE_ERROR = 0.01
"""Relative error from which on a scheme other than PA takes 8 bits, in the default grid."""


@dataclass(frozen=True)
class LayerLevels:
    """The levels of one quantizer."""

    name: str
    """Of the convolution for weights, of the quantizer for activations."""
    kind: str
    """Of what: "weights" or "activations"."""
    most: int | None
    """The largest integer that they may have; None if they are real."""
    by_nature: bool
    """Whether they are integers as published; `most` is then the largest of them."""
    error: float
    """How far they moved to the grid: relative, root mean square."""


@dataclass(frozen=True)
class LevelReport:
    """The levels of a model, layer by layer; `str` is one line."""

    layers: tuple[LayerLevels, ...]
    """One per quantizer."""
    counted: bool | None
    """Whether activations were counted on samples, or taken to be normally distributed; None if nothing is snapped by
    how often it occurs.
    """

    @property
    def snapped(self) -> tuple[LayerLevels, ...]:
        """Those that moved to a grid."""
        return tuple(layer for layer in self.layers if layer.most is not None and not layer.by_nature)

    @property
    def worst(self) -> LayerLevels | None:
        """The one with the largest error."""
        return max(self.snapped, key=lambda layer: layer.error, default=None)

    def __str__(self) -> str:
        if self.worst is None:
            real = any(layer.most is None for layer in self.layers)
            return "real levels, on no grid" if real else "levels that are integers times a unit as published"
        limits = ", ".join(filter(None, (self._limit("weights"), self._limit("activations"))))
        taken = "" if self.counted in (True, None) else ", activations taken to be normally distributed"
        return (
            f"levels snapped to integers ({limits}){taken}: largest relative error {100 * self.worst.error:.2g} % "
            f"({self.worst.kind} of {self.worst.name})"
        )

    def _limit(self, kind: str) -> str:
        found = sorted({layer.most or 0 for layer in self.snapped if layer.kind == kind})
        return " to ".join(map(str, dict.fromkeys((*found[:1], *found[-1:]))))

    def as_data(self) -> dict:
        """All of it as plain data."""
        return {"summary": str(self), "counted": self.counted, "layers": [vars(layer) for layer in self.layers]}

    def __repr__(self) -> str:
        return f"LevelReport({self})"

    def _repr_html_(self) -> str:
        return as_html(levels_table(self, str(self)))


def levels_table(report: LevelReport, title: str) -> Table:
    """A row per quantizer."""
    columns = (
        Column("name", "layer", left=True),
        Column("kind", "levels of", left=True),
        Column("most", "largest integer"),
        Column("error", "moved by", read="{:.2%}".format),
    )
    return Table(title, columns, [vars(layer) for layer in report.layers])


@torch.no_grad()
def snap_(model: nn.Module, grid: GridChoice = DEFAULT_GRID, batches: Iterable[Batch] | None = None) -> LevelReport:
    """Put the levels of every quantizer in `model` on an integer grid, in place, to hold in eval mode.

    What `freeze_` made constant stays until it is frozen again.

    Args:
        model: A converted model.
        grid: "default" is integers up to 15 for weights and 31 for activations, 63 for those with 8 levels above 0, and
            up to 8 bits where the module docstring says so; (A, B) is these limits, for every scheme; None takes the
            model off any grid, back to the levels that training left.
        batches: Inputs (B, ...) of the model, or tuples of them in the order of forward's arguments, on which to count
            how often each activation level occurs. Without them the earlier counts hold, or else those of a normal
            distribution.

    Returns:
        The levels, and how far they moved.

    Raises:
        UsageError: The grid is invalid, the model has no quantizers, or `batches` aren't batches.
    """
    grid, model = checked_grid(grid), unwrapped(model)
    quantizers = _quantizers(model)
    if not quantizers:
        raise UsageError("the model has no quantizer whose levels could be snapped; convert it first (paconv.convert)")
    for _, quantizer, _ in quantizers:
        quantizer.most = None
    if grid is None:
        for _, quantizer, W in quantizers:
            if not W:
                quantizer.counts = None
        return level_report(model)
    real = [(quantizer, W) for _, quantizer, W in quantizers if _natural(quantizer, W) is None]
    activations = [quantizer for quantizer, W in real if not W]
    if batches is not None and activations:
        _count(model, activations, batches)
    for quantizer, W in real:
        _snap(quantizer, W, grid)
    return level_report(model)


def snap_if_real_(model: nn.Module, grid: GridChoice) -> LevelReport | None:
    """Put `model` on `grid`, but for the default one leave quantizers as they are if they are all on a grid already.
    Returns the levels in the end; None for a model without quantizers.
    """
    grid, quantizers = checked_grid(grid), _quantizers(model)
    if not quantizers:
        return None
    if grid == DEFAULT_GRID and not any(q.most is None and _natural(q, W) is None for _, q, W in quantizers):
        return level_report(model)
    return snap_(model, grid)


@torch.no_grad()
def level_report(model: nn.Module) -> LevelReport:
    """The levels of every quantizer in `model`, as they are in eval mode."""
    layers, counted = [], []
    for name, quantizer, W in _quantizers(unwrapped(model)):
        natural = _natural(quantizer, W) if quantizer.most is None else None
        most = natural if quantizer.most is None else int(quantizer.most)
        error = quantizer.grid_error(*W)
        layers.append(LayerLevels(name, "weights" if W else "activations", most, natural is not None, error))
        if isinstance(quantizer, ActivationQuantizer) and quantizer.most is not None:
            counted.append(quantizer.counts is not None)
    return LevelReport(tuple(layers), all(counted) if counted else None)


def _quantizers(model: nn.Module) -> list[tuple[str, Any, tuple[Tensor, ...]]]:
    """Each Quantizer once: a name, itself, and (W,) of a weight quantizer."""
    found: list[tuple[str, Any, tuple[Tensor, ...]]] = []
    for name, module in model.named_modules():
        if isinstance(module, PAConv2d):
            found.append((name, module.weight_quantizer, (module.weight.detach(),)))
        elif isinstance(module, ActivationQuantizer):
            found.append((name, module, ()))
    return found


def _natural(quantizer: Any, W: tuple[Tensor, ...]) -> int | None:
    return quantizer.natural_integer(*W, MOST_WEIGHT if W else MOST_ACTIVATION)


def _snap(quantizer: Any, W: tuple[Tensor, ...], grid: GridChoice) -> None:
    N = 0 if W else len(quantizer.occurrences()) - 1
    A, B = grid if isinstance(grid, tuple) else largest_integers(N)
    if isinstance(quantizer, PAActivation) and quantizer.signed:
        B = min(B, MOST_WEIGHT)
    device = next(iter((*W, *quantizer.parameters(), *quantizer.buffers()))).device
    quantizer.most = torch.tensor(A if W else B, device=device)
    if grid == DEFAULT_GRID and quantizer.widens and quantizer.grid_error(*W) > WIDE_ERROR:
        quantizer.most = torch.tensor(MOST_WEIGHT if W else MOST_ACTIVATION, device=device)


def _count(model: nn.Module, quantizers: list[ActivationQuantizer], batches: Iterable[Batch]) -> None:
    """Set the counts of those of `quantizers`, of activations, that run."""
    counts: dict[ActivationQuantizer, Tensor] = {}

    def count(quantizer: ActivationQuantizer, args: tuple) -> None:
        levels = len(quantizer.occurrences())
        found = torch.bincount(quantizer.pieces(args[0]).reshape(-1).long(), minlength=levels)
        counts[quantizer] = found + counts.get(quantizer, 0)

    with ExitStack() as stack:
        stack.enter_context(in_mode(model, training=False))
        for quantizer in quantizers:
            stack.enter_context(removing(quantizer.register_forward_pre_hook(count)))
        ran = False
        for batch in batches:
            model(*inputs_of(batch))
            ran = True
    if not ran:
        raise UsageError("snap_ needs at least one batch, or None in place of batches; found none")
    for quantizer in quantizers:
        quantizer.counts = counts.get(quantizer)

"""The fused graph against its canonical form, on the same feeds: every tensor between fused nodes, with ==.

    level tensor L of X, v, sign       L == level(X; v, sign) of the canonical graph's X, transposed
    channel-last float tensor of t     equal to the canonical graph's t, transposed

PALevelConv does the operations of PABitConv, Add and Relu or Clip in the same order, each rounded to float32: nothing
may differ by a bit. Depthwise convolutions and means are the same ops in both (paconv.verification.served), compared
with the numpy reference by themselves. The canonical form is compared with the reference by the other checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import onnx

from paconv.passes.fuse.layout import to_channel_last
from paconv.passes.fuse.unfuse import Unfused
from paconv.reference import pa_levels
from paconv.verification.depthwise import reference_sums
from paconv.verification.means import wrong_mean
from paconv.verification.model import run_model
from paconv.verification.served import as_served, served_reads

__all__ = ["FusedResult", "Run", "check_fused"]

Run = Callable[[onnx.ModelProto, dict[str, np.ndarray], list[str], str], dict[str, np.ndarray]]
"""(model, feeds, tensors to read, what messages call the model) -> the tensors by name."""


@dataclass(frozen=True)
class FusedResult:
    """Tensors of a fused model, compared with the canonical one's."""

    levels: int
    """Tensors of levels compared."""
    floats: int
    """Tensors of floats compared."""
    difference: str | None
    """The first tensor that differs, in words; None if none does."""

    @property
    def ok(self) -> bool:
        return self.difference is None


def run_kernels(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray], tensors: list[str], label: str
) -> dict[str, np.ndarray]:
    """With the kernels that serve. Both forms have the same layers, so the same kernels are chosen for them."""
    return run_model(model, feeds, tensors, label=label, plain=True)


def check_fused(
    fused: onnx.ModelProto, unfused: Unfused, feeds: dict[str, np.ndarray], label: str, run: Run = run_kernels
) -> FusedResult:
    """Compare `fused` with its canonical form.

    unfused: paconv.passes.fuse.unfuse.unfuse(fused). Raises VerifyError, naming the model by `label`, if one of them
    doesn't run.
    """
    order = [name for node in fused.graph.node for name in node.output]
    names = [name for name in order if name in unfused.channel_last or name in unfused.levels]
    sources = [unfused.levels[n].of if n in unfused.levels else unfused.channel_last[n] for n in names]
    read = served_reads(unfused)
    found = run(fused, feeds, names, label) if names else {}
    expected = run(as_served(unfused), feeds, list(dict.fromkeys([*sources, *read, *read.values()])), label)
    sums = reference_sums(unfused, expected)
    differences = (_difference(name, expected[name], sums[name]) for name in sums)
    means = (wrong_mean(name, expected[read[name]], expected[name]) for name in unfused.means)
    difference = next(filter(None, chain(differences, means)), None)
    for name, source in zip(names, sources, strict=True):
        if difference:
            break
        want = expected[source].transpose(to_channel_last(expected[source].ndim))
        if name in unfused.levels:
            channels = want.reshape(*want.shape[:3], -1)  # those of a channel shuffle in one axis
            want = pa_levels(channels, unfused.levels[name].v, unfused.levels[name].sign).reshape(want.shape)
        difference = _difference(name, found[name], want)
    levels = sum(name in unfused.levels for name in names)
    return FusedResult(levels, len(names) - levels, difference)


def _difference(name: str, found: np.ndarray, expected: np.ndarray) -> str | None:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"tensor '{name}': {found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
    differs = ~((found == expected) | (np.isnan(found) & np.isnan(expected)))
    if not differs.any():
        return None
    at = tuple(int(i) for i in np.argwhere(differs)[0])
    return f"tensor '{name}': {int(differs.sum())} values differ, first at {at}: {found[at]} instead of {expected[at]}"

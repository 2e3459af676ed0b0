"""What this machine can reach, measured in the same run: the peaks that a layer's speed is set beside.

    peak of bit planes      multiply-accumulates per second of AND + popcount + add, in registers alone
    rate of a kernel        the same of the kernel's inner loop, which also loads its operands; of level codes this is
                            the peak too: it lies within a few percent of what their instructions can do

A layer with (M, N) takes M N bit pairs for one multiply-accumulate on bit planes; with level codes one product of
bytes, whatever M and N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from paconv.bits import WORD_BITS
from paconv.kernels.arguments import LANES
from paconv.kernels.registry import KINDS
from paconv.runtime.inspection import NodeKernel
from paconv.runtime.library import active_cpu
from paconv.runtime.measure_rates import measure_rates

__all__ = ["HostPeaks", "coding_of", "layer_peak", "measure_peaks", "products"]

_MEASURED_BY = {"planes": "paconv.runtime.popcount_peak:and_popcount_peak"}
"""Kernel -> module:function, (cpu, seconds) -> multiply-accumulates per second of one product on one thread."""


@dataclass(frozen=True)
class HostPeaks:
    """Peaks of one thread, in multiply-accumulates per second."""

    cpu: str
    """The CPU whose kernels these are: its name, or "jit"."""
    single: dict[str, float] = field(default_factory=dict)
    """Kernel ("planes") -> the peak of one product; those that aren't known are left out."""
    planes: dict[tuple[int, int], float] = field(default_factory=dict)
    """(M, N) -> the inner loop's rate."""
    codes: dict[str, float] = field(default_factory=dict)
    """How level codes are multiplied (a name in KINDS) -> the inner loop's rate."""

    def as_data(self) -> dict[str, Any]:
        return {
            "level": self.cpu,
            "single_product": dict(self.single),
            "inner_loop_planes": {f"{M}x{N}": rate for (M, N), rate in self.planes.items()},
            "inner_loop_codes": dict(self.codes),
        }

    def inner_loop(self, kernel: str, planes: tuple[int, int], coding: str) -> float | None:
        """The rate of the kernel's inner loop at these planes, or with this coding; None where it isn't known."""
        return self.planes.get(planes) if kernel == "planes" else self.codes.get(coding)


def coding_of(node: NodeKernel) -> str:
    """How the node's level codes are multiplied, "" for bit planes."""
    return node.kind if node.kind in KINDS else ""


def products(kernel: str, planes: tuple[int, int]) -> int:
    """Bit pairs or byte products that the kernel takes for one multiply-accumulate."""
    return planes[0] * planes[1] if kernel == "planes" else 1


def layer_peak(peaks: HostPeaks, kernel: str, planes: tuple[int, int], coding: str, threads: int = 1) -> float | None:
    """Multiply-accumulates per second that a layer can't go beyond; None where that isn't known.

    Args:
        peaks: This machine's.
        kernel: A name in paconv.kernels.registry.CHOICES.
        planes: The layer's (M, N).
        coding: How its level codes are multiplied.
        threads: Cores that it runs on.
    """
    if kernel != "planes":
        return None if coding not in peaks.codes else threads * peaks.codes[coding]
    single = peaks.single.get(kernel)
    return None if single is None else threads * single / products(kernel, planes)


def measure_peaks(seconds: float, progress: Callable[[float], None] = lambda done: None) -> HostPeaks:
    """Measure in about `seconds`. Kernels that are compiled in this process (PACONV_JIT=1) have no peaks."""
    cpu = active_cpu()
    if cpu == "jit":
        return HostPeaks(cpu)
    single = {kernel: found for kernel in _MEASURED_BY if (found := _single(kernel, cpu, seconds / 4)) is not None}
    rates = measure_rates(cpu, seconds / 2 / 66, lambda done, total: progress(done / total))
    word = LANES * WORD_BITS * 1e9  # multiply-accumulates that a rate's nanoseconds belong to
    return HostPeaks(
        cpu,
        single,
        {planes: word / ns for planes, ns in rates.planes.items()},
        {kind: word / ns for kind, ns in rates.codes.items()},
    )


def _single(kernel: str, cpu: str, seconds: float) -> float | None:
    """The peak of one product, None where this paconv can't measure it."""
    module, function = _MEASURED_BY[kernel].split(":")
    try:
        measure = getattr(import_module(module), function)
    except ModuleNotFoundError:
        return None
    return measure(cpu, seconds)

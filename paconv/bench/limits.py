"""What this machine can reach, measured in the same run: the limits that a layer's speed is set beside.

    limit of a kernel     multiply-accumulates a second of its innermost instructions, in registers alone
    rate of a kernel      the same of the kernel's inner loop, which also loads its operands

A layer with (M, N) takes M N bit pairs for one multiply-accumulate on bit planes; with level codes of D digits, 1 byte
product for D = 1 and 3 for D = 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from paconv.bits import WORD_BITS
from paconv.kernels.arguments import LANES
from paconv.runtime.library import active_level
from paconv.runtime.measure_rates import measure_rates

__all__ = ["HostLimits", "layer_limit", "measure_limits", "products"]

_MEASURED_BY = {"planes": "and_popcount_limit"}
"""Kernel -> the function of paconv.runtime.limit, (level, seconds) -> multiply-accumulates a second of one product."""

_PRODUCTS = {1: 1, 2: 3}
"""Digits of a level code -> byte products for one multiply-accumulate."""


@dataclass(frozen=True)
class HostLimits:
    """Of one thread, at a CPU level, in multiply-accumulates a second.

    single: kernel ("planes", "codes") -> the limit of one product, without those that aren't known; planes: (M, N) ->
    the inner loop's rate; codes: digits -> the inner loop's rate.
    """

    level: str
    single: dict[str, float] = field(default_factory=dict)
    planes: dict[tuple[int, int], float] = field(default_factory=dict)
    codes: dict[int, float] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "single_product": dict(self.single),
            "inner_loop_planes": {f"{M}x{N}": rate for (M, N), rate in self.planes.items()},
            "inner_loop_codes": {str(digits): rate for digits, rate in self.codes.items()},
        }

    def inner_loop(self, kernel: str, planes: tuple[int, int], digits: int) -> float | None:
        """The rate of the kernel's inner loop for a layer with these planes or digits, None where it isn't known."""
        return self.planes.get(planes) if kernel == "planes" else self.codes.get(digits)


def products(kernel: str, planes: tuple[int, int], digits: int) -> int:
    """Bit pairs or byte products that the kernel takes for one multiply-accumulate."""
    return planes[0] * planes[1] if kernel == "planes" else _PRODUCTS[digits]


def layer_limit(
    limits: HostLimits, kernel: str, planes: tuple[int, int], digits: int, threads: int = 1
) -> float | None:
    """Multiply-accumulates a second that a layer can't go beyond on `threads` cores; None where that isn't known.

    kernel: a name in paconv.kernels.registry.CHOICES; planes: the layer's (M, N); digits: of its level codes.
    """
    single = limits.single.get("planes" if kernel == "planes" else "codes")
    return None if single is None else threads * single / products(kernel, planes, digits)


def measure_limits(seconds: float, progress: Callable[[float], None] = lambda done: None) -> HostLimits:
    """Measure in about `seconds`. Kernels that are compiled in this process (PACONV_JIT=1) have no limits."""
    level = active_level()
    if level == "jit":
        return HostLimits(level)
    single = {kernel: found for kernel in _MEASURED_BY if (found := _single(kernel, level, seconds / 4)) is not None}
    rates = measure_rates(level, seconds / 2 / 66, lambda done, total: progress(done / total))
    word = LANES * WORD_BITS * 1e9  # multiply-accumulates that a rate's nanoseconds belong to
    return HostLimits(
        level,
        single,
        {planes: word / ns for planes, ns in rates.planes.items()},
        {digits: word / ns for digits, ns in rates.codes.items()},
    )


def _single(kernel: str, level: str, seconds: float) -> float | None:
    """The limit of one product, None where this paconv can't measure it."""
    try:
        module = import_module("paconv.runtime.limit")
    except ModuleNotFoundError:
        return None
    return getattr(module, _MEASURED_BY[kernel])(level, seconds)

"""Every kernel, listed once: the build, the runtime, the tests and the benchmarks read this list.

Needs no compiler: kernels are named here by module and function, and made by kernels/compile.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.bits import MAX_PLANES

__all__ = ["KERNELS", "Kernel", "plane_pairs"]


@dataclass(frozen=True)
class Kernel:
    """A kernel's name, where its source is, and whether there is one for each (M, N) (made by a factory)."""

    name: str
    module: str
    function: str
    per_planes: bool = False


KERNELS = {
    k.name: k
    for k in (
        Kernel("prepare_weights", "paconv.kernels.weights", "prepare_weights"),
        Kernel("gather", "paconv.kernels.gather", "gather"),
        Kernel("conv", "paconv.kernels.conv", "conv"),
        Kernel("counts", "paconv.kernels.conv", "conv_counts"),
        Kernel("accumulate", "paconv.kernels.accumulate", "make_accumulate", per_planes=True),
    )
}


def plane_pairs() -> list[tuple[int, int]]:
    """Every (M, N) that kernels exist for."""
    return [(M, N) for M in range(1, MAX_PLANES + 1) for N in range(1, MAX_PLANES + 1)]

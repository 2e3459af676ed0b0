"""Every kernel, listed once: the build, the runtime, the tests and the benchmarks read this list.

Needs no compiler: kernels are named here by module and function, and made by kernels/compile.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.bits import MAX_PLANES
from paconv.kernels.formats import FORMATS
from paconv.kernels.levels import Level

__all__ = ["CHOICES", "KERNELS", "Choice", "Kernel", "plane_pairs"]


def plane_pairs() -> list[tuple[int, int]]:
    """Every (M, N) that bit-plane kernels exist for."""
    return [(M, N) for M in range(1, MAX_PLANES + 1) for N in range(1, MAX_PLANES + 1)]


@dataclass(frozen=True)
class Kernel:
    """A kernel's name, where its source is, and its `variants`: none for a task; for an accumulate function, which a
    factory makes, the pairs (M, N), or the pairs (format's number, 0) of the formats that some CPU levels have.
    per_level: a task that a factory makes for each CPU level, where the same instructions don't serve all.
    """

    name: str
    module: str
    function: str
    variants: tuple[tuple[int, int], ...] = ()
    per_level: bool = False

    def variants_at(self, level: Level) -> list[tuple[int, int]]:
        """Those that a CPU level has."""
        if self.name != "accumulate_codes":
            return list(self.variants)
        return [(FORMATS[name].number, 0) for name in level.products]


_FORMATS = tuple((f.number, 0) for f in FORMATS.values())

KERNELS = {
    k.name: k
    for k in (
        Kernel("prepare_weights", "paconv.kernels.weights", "prepare_weights"),
        Kernel("gather", "paconv.kernels.gather", "gather"),
        Kernel("gather_levels", "paconv.kernels.gather_levels", "gather_levels"),
        Kernel("gather_level_codes", "paconv.kernels.gather_level_codes", "gather_level_codes"),
        Kernel("compare", "paconv.kernels.compare", "compare"),
        Kernel("pool_levels", "paconv.kernels.pool_levels", "pool_levels"),
        Kernel("fold", "paconv.kernels.fold", "fold"),
        Kernel("conv", "paconv.kernels.conv", "conv"),
        Kernel("counts", "paconv.kernels.conv", "conv_counts"),
        Kernel("accumulate", "paconv.kernels.accumulate", "make_accumulate", tuple(plane_pairs())),
        Kernel("limit", "paconv.kernels.limit", "make_limit", per_level=True),
        Kernel("prepare_coding", "paconv.kernels.coding", "prepare_coding"),
        Kernel("prepare_codes", "paconv.kernels.code_weights", "prepare_codes"),
        Kernel("gather_codes", "paconv.kernels.gather_codes", "gather_codes"),
        Kernel("conv_codes", "paconv.kernels.conv_codes", "conv_codes"),
        Kernel("accumulate_codes", "paconv.kernels.accumulate_codes", "make_accumulate_codes", _FORMATS),
    )
}


@dataclass(frozen=True)
class Choice:
    """A way to run a PABitConv node.

    name: what the session configuration entry "paconv.kernel", or PACONV_KERNEL, calls it. error: most that an output
    may be off, as a fraction of the layer's largest output, beside float32's rounding; 0 for the reference's own
    integers (kernels/finish.py has the rounding bound), infinity where nothing is promised. formats: of level codes,
    any of which it may take (kernels/formats.py; kernels/levels.py says what a CPU needs for each). reference: whether
    it is the one that the others are off from: it computes the integers of paconv.reference.
    """

    name: str
    error: float
    summary: str
    formats: tuple[str, ...] = ()
    reference: bool = False

    def runs_at(self, level: Level) -> bool:
        """Whether a CPU level has what it needs."""
        return not self.formats or any(name in level.products for name in self.formats)


CHOICES = {
    c.name: c
    for c in (
        Choice("planes", 0.0, "AND and popcount of bit planes: the reference's integers", reference=True),
        Choice("codes", 2e-5, "integer dot products of level codes, cost independent of M and N", tuple(FORMATS)),
        Choice("codes-fast", float("inf"), "integer dot products of one-byte level codes, opt-in", ("byte",)),
    )
}

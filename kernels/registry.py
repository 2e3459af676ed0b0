"""Every kernel, listed once: the build, the runtime, the tests and the benchmarks read these lists.

Needs no compiler: tasks are named here by module and function, microkernels by name and variant, and made by
kernels/emit/compile.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.bits import MAX_PLANES
from paconv.kernels.blocking import most_pixels, sub_blocks
from paconv.kernels.cpus import Cpu, find_cpu

__all__ = [
    "CHOICES",
    "KERNELS",
    "KINDS",
    "Choice",
    "Kernel",
    "Microkernel",
    "microkernel_home",
    "microkernels",
    "plane_pairs",
    "task_home",
]


def plane_pairs() -> list[tuple[int, int]]:
    """Every (M, N) that bit-plane kernels exist for."""
    return [(M, N) for M in range(1, MAX_PLANES + 1) for N in range(1, MAX_PLANES + 1)]


KINDS = {
    "dot": "four products added to a sum of 32 bits by one instruction (VPDPBUSD, SDOT)",
    "tiles": "tiles of 16 x 64 bytes (AMX-INT8)",
    "narrow": "sums of 16 bits over spans of the window (VPMADDUBSW, SMLAL)",
    "wide": "bytes widened to 16 bits (PMADDWD), for products that 16 bits don't hold",
}
"""Ways to multiply level codes, all exact, and so of one result; kernels/cpus.py says which a CPU has."""


@dataclass(frozen=True)
class Kernel:
    """A task's name and where its source is, a function of the module. once: whether it runs only when a node is
    created, so that the code for the lowest CPU of a library serves all.
    """

    name: str
    module: str
    function: str
    once: bool = False


@dataclass(frozen=True)
class Microkernel:
    """A function that is emitted as LLVM instructions, one for each CPU: its name and variant. "accumulate" and
    "accumulate_codes" are called by the convolution tasks. Variants of the first are the (m, n) of sub-blocks of
    planes; of the second (number, 0), number the place of its kind in KINDS, from 1 on. "limit" is for benchmarks.
    pixels, blocks: of its largest tile. words: as of cpus.Multiplier.
    """

    name: str
    variant: tuple[int, int] = (0, 0)
    pixels: int = 0
    blocks: int = 1
    words: int = 1


def microkernels(cpu: Cpu) -> list[Microkernel]:
    """Those of a CPU."""
    planes = [Microkernel("accumulate", (m, n), most_pixels(m, n, cpu.budget)) for m, n in sub_blocks(cpu.budget)]
    codes = [
        Microkernel("accumulate_codes", (number, 0), each.pixels, each.blocks, each.words)
        for number, each in enumerate(map(cpu.multipliers.get, KINDS), start=1)
        if each
    ]
    return [*planes, *codes, Microkernel("limit")]


KERNELS = {
    k.name: k
    for k in (
        Kernel("prepare_weights", "paconv.kernels.planes.weights", "prepare_weights", once=True),
        Kernel("gather", "paconv.kernels.planes.gather", "gather"),
        Kernel("gather_levels", "paconv.kernels.planes.gather_from_levels", "gather_levels"),
        Kernel("gather_level_codes", "paconv.kernels.codes.gather_from_levels", "gather_level_codes"),
        Kernel("compare", "paconv.kernels.levels.of_values", "compare"),
        Kernel("pool_levels", "paconv.kernels.levels.max_pool", "pool_levels"),
        Kernel("fold", "paconv.kernels.planes.window_rows", "fold"),
        Kernel("conv", "paconv.kernels.planes.conv", "conv"),
        Kernel("counts", "paconv.kernels.planes.conv", "conv_counts"),
        Kernel("prepare_coding", "paconv.kernels.codes.choose_codes", "prepare_coding", once=True),
        Kernel("prepare_codes", "paconv.kernels.codes.weights", "prepare_codes", once=True),
        Kernel("gather_codes", "paconv.kernels.codes.gather", "gather_codes"),
        Kernel("conv_codes", "paconv.kernels.codes.conv", "conv_codes"),
    )
}


def task_home(cpu: Cpu, name: str) -> Cpu | None:
    """The CPU whose machine code of a task serves `cpu`; None where one is enough for all."""
    if KERNELS[name].once:
        return None
    return find_cpu(cpu.base) if cpu.base else cpu


def microkernel_home(cpu: Cpu, microkernel: Microkernel) -> Cpu:
    """The CPU whose machine code of a microkernel serves `cpu`."""
    base = find_cpu(cpu.base) if cpu.base else cpu
    return base if microkernel in microkernels(base) else cpu


@dataclass(frozen=True)
class Choice:
    """A way to run a PABitConv node. name: in the session configuration entry "paconv.kernel" and in PACONV_KERNEL."""

    name: str
    summary: str


CHOICES = {
    c.name: c
    for c in (
        Choice("planes", "AND and popcount of bit planes; time grows with M N"),
        Choice("codes", "integer dot products of level codes, where levels are on a grid; time independent of M and N"),
    )
}

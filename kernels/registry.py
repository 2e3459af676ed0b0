"""Every kernel, listed once: the build, the runtime, the tests and the benchmarks read these lists.

Needs no compiler: kernels are named here by their modules, and made by kernels/emit/compile.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from paconv.bits import MAX_PLANES
from paconv.kernels.blocking import PopcountPeak, SubBlock, blocking, most_pixels, peak_sums, sub_blocks
from paconv.kernels.cpus import Cpu, Multiplier, find_cpu

__all__ = [
    "CHOICES", "FAMILIES", "KERNELS", "KINDS", "Family", "Kernel", "Microkernel", "kind_number",
    "microkernel_home", "microkernels", "plane_pairs", "task_home",
]  # fmt: skip


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


def kind_number(kind: str) -> int:
    """The place of a kind in KINDS, from 1 on: 0 is for planes."""
    return list(KINDS).index(kind) + 1


@dataclass(frozen=True)
class Kernel:
    """A task's name, that of a function of its module. once: whether it runs only when a node is created, so that the
    code for the lowest CPU of a library serves all.
    """

    name: str
    module: str
    once: bool = False


KERNELS = {
    k.name: k
    for k in (
        Kernel("prepare_weights", "paconv.kernels.planes.weights", once=True),
        Kernel("gather", "paconv.kernels.planes.gather"),
        Kernel("gather_levels", "paconv.kernels.planes.gather_from_levels"),
        Kernel("window_rows", "paconv.kernels.planes.window_rows"),
        Kernel("conv", "paconv.kernels.planes.conv"),
        Kernel("prepare_coding", "paconv.kernels.codes.choose_codes", once=True),
        Kernel("prepare_codes", "paconv.kernels.codes.weights", once=True),
        Kernel("gather_codes", "paconv.kernels.codes.gather"),
        Kernel("gather_level_codes", "paconv.kernels.codes.gather_from_levels"),
        Kernel("conv_codes", "paconv.kernels.codes.conv"),
        Kernel("depthwise_conv", "paconv.kernels.depthwise.conv"),
        Kernel("levels_of_values", "paconv.kernels.levels.of_values"),
        Kernel("pool_levels", "paconv.kernels.levels.max_pool"),
    )
}


@dataclass(frozen=True)
class Microkernel:
    """A function that is emitted as LLVM instructions for a CPU, by emit(builder, plan, *arguments) of its module.

    name: of its family. variant: its place in the family's table. plan: all that it depends on but the instructions
    that the CPU has.
    """

    name: str
    variant: tuple[int, int]
    module: str
    plan: SubBlock | Multiplier | PopcountPeak


@dataclass(frozen=True)
class Family:
    """Microkernels that are called alike.

    arguments: their names; all are int64. table: the sizes of the table of variants. of_cpu: those of a CPU. of_node:
    of these, what nodes with (M, N) call.
    """

    name: str
    arguments: tuple[str, ...]
    table: tuple[int, int]
    of_cpu: Callable[[Cpu], list[Microkernel]]
    of_node: Callable[[Cpu, int, int], list[Microkernel]]


def _of_planes(cpu: Cpu) -> list[Microkernel]:
    """By m and n of the sub-blocks."""
    plans = (SubBlock(m, n, most_pixels(m, n, cpu.budget), cpu.counts_bytes) for m, n in sub_blocks(cpu.budget))
    return [Microkernel("accumulate", (p.m, p.n), "paconv.kernels.planes.accumulate", p) for p in plans]


def _of_codes(cpu: Cpu) -> list[Microkernel]:
    """By number of kind and 0."""
    multipliers = ((kind_number(kind), cpu.multipliers[kind]) for kind in KINDS if kind in cpu.multipliers)
    return [Microkernel("accumulate_codes", (number, 0), each.module, each) for number, each in multipliers]


def _of_depthwise(cpu: Cpu) -> list[Microkernel]:
    """One sum a pixel, and one weight."""
    plan = SubBlock(1, 1, most_pixels(1, 1, cpu.budget), cpu.counts_bytes)
    return [Microkernel("depthwise_sums", (0, 0), "paconv.kernels.depthwise.sums", plan)]


def _of_peak(cpu: Cpu) -> list[Microkernel]:
    plan = PopcountPeak(peak_sums(cpu.budget), cpu.counts_bytes)
    return [Microkernel("popcount_peak", (0, 0), "paconv.kernels.probes.popcount_peak", plan)]


FAMILIES = {
    f.name: f
    for f in (
        Family(
            "accumulate",
            ("pixels", "image", "pixel_offsets", "tap_offsets", "taps", "run", "weights", "counts", "M", "N"),
            (MAX_PLANES + 1, MAX_PLANES + 1), _of_planes,
            lambda cpu, M, N: [k for k in _of_planes(cpu) if k.variant in blocking(M, N, cpu.budget).sub_blocks],
        ),
        Family(
            "accumulate_codes",
            ("pixels", "blocks", "image", "pixel_offsets", "tap_offsets", "taps", "run", "span", "weights",
             "block_bytes", "start", "dots"),
            (len(KINDS) + 1, 1), _of_codes, lambda cpu, M, N: _of_codes(cpu),
        ),
        Family(
            "depthwise_sums",
            ("pixels", "blocks", "x", "pixel_step", "rows", "row_step", "columns", "column_step", "weights",
             "weight_row", "weight_block", "bias", "out", "out_block"),
            (1, 1), _of_depthwise, lambda cpu, M, N: _of_depthwise(cpu),
        ),
        Family("popcount_peak", ("memory", "rounds"), (1, 1), _of_peak, lambda cpu, M, N: []),
    )
}  # fmt: skip


def microkernels(cpu: Cpu) -> list[Microkernel]:
    """Those of a CPU."""
    return [each for family in FAMILIES.values() for each in family.of_cpu(cpu)]


def task_home(cpu: Cpu, name: str) -> Cpu | None:
    """The CPU whose machine code of a task serves `cpu`; None where one is enough for all."""
    if KERNELS[name].once:
        return None
    return find_cpu(cpu.base) if cpu.base else cpu


def microkernel_home(cpu: Cpu, microkernel: Microkernel) -> Cpu:
    """The CPU whose machine code of a microkernel serves `cpu`."""
    base = find_cpu(cpu.base) if cpu.base else cpu
    return base if microkernel in microkernels(base) else cpu


CHOICES = {
    "planes": "AND and popcount of bit planes; time grows with M N",
    "codes": "integer dot products of level codes, where levels are on a grid; time independent of M and N",
}
"""Ways to run a PABitConv node, by their names in the session configuration entry "paconv.kernel" and PACONV_KERNEL."""

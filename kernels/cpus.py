"""The CPUs that kernels are built for, lowest first within an architecture.

The library holds every one of its architecture and picks the highest that the machine's CPU can run, or the one that
PACONV_CPU names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from paconv.errors import UsageError

__all__ = ["CPUS", "Cpu", "Multiplier", "cpus_of", "find_cpu"]


@dataclass(frozen=True)
class Multiplier:
    """How level codes are multiplied.

    product: a name in PRODUCTS of codes/dot_products.py, or in TILES of emit/amx.py. blocks, pixels: the
    register block of sums, lane blocks x pixels, as large as inner loops don't spill (tests/kernels/test_registers.py).
    words: of a run that are multiplied at a time. Above 1, the weights of a run are filled up with zeros to a multiple,
    and the pixels of a register block lie at one distance. module: that emits the accumulate function.
    """

    product: str
    blocks: int
    pixels: int
    words: int = 1
    module: str = "paconv.kernels.codes.accumulate"


@dataclass(frozen=True)
class Cpu:
    """A kind of CPU.

    llvm_cpu, features: for LLVM. needs: what the CPU must have, in the words of GCC's __builtin_cpu_supports (x86-64,
    where amx-int8 also means the operating system's permission) or of Linux's HWCAP_* (aarch64). budget: vectors of
    16 words, accumulators and weights, that its registers hold beside temporaries: AVX-512 has 32 registers of 16
    words; elsewhere 16 words take several registers (AVX2: 2 of 16, SSE: 4 of 16, NEON: 4 of 32), and popcount without
    VPOPCNTD or cnt needs constants and temporaries. As many as no inner loop spills with
    (tests/kernels/test_registers.py), but no more than pay: of those that count bytes in so many instructions, 12.
    multipliers: of level codes, by a kind of kernels/registry.py's KINDS. base: a
    CPU whose machine code serves here as well, but for the multipliers that it doesn't have.
    """

    name: str
    architecture: str
    llvm_cpu: str
    features: str
    needs: tuple[str, ...]
    budget: int
    multipliers: dict[str, Multiplier]
    base: str = ""

    @property
    def signed_codes(self) -> bool:
        """Whether products take signed activations (SDOT, SMLAL), not unsigned ones (VPDPBUSD, VPMADDUBSW, TDPBUSD)."""
        return self.architecture == "aarch64"

    @property
    def counts_bytes(self) -> bool:
        """Whether bits are counted a byte at a time (kernels/emit/popcount.py), for want of VPOPCNTD."""
        return "+avx512vpopcntdq" not in self.features

    @property
    def symbol(self) -> str:
        """The name as part of a C identifier."""
        return re.sub(r"\W", "_", self.name)


# Named one by one: gcc before 12 and clang don't know the levels themselves. No CPU has these without the rest.
_V3 = ("avx2", "bmi", "bmi2", "fma")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_V4_VNNI = (*_V4, "avx512vpopcntdq", "avx512bitalg", "avx512vnni")
_VNNI = "+avx512vpopcntdq,+avx512bitalg,+avx512vnni"
_AMX = "paconv.kernels.codes.accumulate_amx"

CPUS = (
    Cpu(
        "x86-64-v2", "x86_64", "x86-64-v2", "", ("ssse3", "sse4.2", "popcnt"), 2,
        {"narrow": Multiplier("PairsOf128", 1, 2), "wide": Multiplier("WidePairs", 1, 1)},
    ),
    Cpu(
        "x86-64-v3", "x86_64", "x86-64-v3", "", _V3, 5,
        {"narrow": Multiplier("PairsOf256", 1, 6), "wide": Multiplier("WidePairs", 1, 4)},
    ),
    Cpu(
        "x86-64-v4", "x86_64", "x86-64-v4", "-prefer-256-bit", _V4, 12,
        {"narrow": Multiplier("PairsOf512", 2, 12), "wide": Multiplier("WidePairs", 2, 12)},
    ),
    Cpu(
        "x86-64-v4-vpopcntdq", "x86_64", "x86-64-v4", f"-prefer-256-bit,{_VNNI}", _V4_VNNI, 30,
        {"dot": Multiplier("DotOf512", 2, 12)},
    ),
    Cpu(
        "x86-64-v4-amx", "x86_64", "x86-64-v4", f"-prefer-256-bit,{_VNNI},+amx-tile,+amx-int8", (*_V4_VNNI, "amx-int8"),
        30, {"dot": Multiplier("DotOf512", 2, 12), "tiles": Multiplier("Tiles", 2, 32, 16, _AMX)},
        base="x86-64-v4-vpopcntdq",
    ),
    Cpu("armv8-a", "aarch64", "generic", "+neon", (), 4, {"narrow": Multiplier("WideningBytes", 1, 2)}),
    Cpu(
        "armv8.2-a-dotprod", "aarch64", "generic", "+v8.2a,+neon,+dotprod", ("ASIMDDP",), 4,
        {"dot": Multiplier("DotOf128", 1, 6)},
    ),
)  # fmt: skip


def cpus_of(architecture: str) -> list[Cpu]:
    """The CPUs of an architecture (platform.machine()'s name), lowest first."""
    return [cpu for cpu in CPUS if cpu.architecture == architecture]


def find_cpu(name: str) -> Cpu:
    """The CPU of this name. Raises UsageError listing the known ones."""
    for cpu in CPUS:
        if cpu.name == name:
            return cpu
    raise UsageError(f"unknown CPU {name!r}: expected one of {', '.join(cpu.name for cpu in CPUS)}")

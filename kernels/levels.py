"""The CPU levels that kernels are built for, lowest first within an architecture.

The library holds every level of its architecture and picks the highest that the CPU can run, or the one that
PACONV_CPU names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["LEVELS", "Level", "levels_of"]


@dataclass(frozen=True)
class Level:
    """A CPU level.

    cpu, features: for LLVM. needs: what the CPU must have, in the words of GCC's __builtin_cpu_supports (x86-64) or
    of Linux's HWCAP_* (aarch64). budget: vectors of 16 words, accumulators and weights, that its registers hold beside
    temporaries: AVX-512 has 32 registers of 16 words; elsewhere 16 words take several registers (AVX2: 2 of 16, SSE: 4
    of 16, NEON: 4 of 32), and popcount without VPOPCNTD or cnt needs constants and temporaries. As many as no inner
    loop spills with (tests/kernels/test_registers.py).
    """

    name: str
    architecture: str
    cpu: str
    features: str
    needs: tuple[str, ...]
    budget: int

    @property
    def vnni(self) -> bool:
        """Whether byte dot products are one AVX-512 instruction."""
        return "+avx512vnni" in self.features

    @property
    def counts_bytes(self) -> bool:
        """Whether bits are counted a byte at a time (kernels/popcount.py), for want of VPOPCNTD."""
        return "+avx512vpopcntdq" not in self.features

    @property
    def symbol(self) -> str:
        """The name as part of a C identifier."""
        return re.sub(r"\W", "_", self.name)


# Named one by one: gcc before 12 and clang don't know the levels themselves. No CPU has these without the rest.
_V3 = ("avx2", "bmi", "bmi2", "fma")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

LEVELS = (
    Level("x86-64-v2", "x86_64", "x86-64-v2", "", ("sse4.2", "popcnt"), 2),
    Level("x86-64-v3", "x86_64", "x86-64-v3", "", _V3, 5),
    Level("x86-64-v4", "x86_64", "x86-64-v4", "-prefer-256-bit", _V4, 26),
    Level(
        "x86-64-v4-vpopcntdq",
        "x86_64",
        "x86-64-v4",
        "-prefer-256-bit,+avx512vpopcntdq,+avx512bitalg,+avx512vnni",
        (*_V4, "avx512vpopcntdq", "avx512bitalg", "avx512vnni"),
        30,
    ),
    Level("armv8-a", "aarch64", "generic", "+neon", (), 4),
    Level("armv8.2-a-dotprod", "aarch64", "generic", "+v8.2a,+neon,+dotprod", ("ASIMDDP",), 4),
)


def levels_of(architecture: str) -> list[Level]:
    """The levels of an architecture (platform.machine()'s name), lowest first."""
    return [level for level in LEVELS if level.architecture == architecture]

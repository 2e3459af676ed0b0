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

    cpu, features: for LLVM. needs: what the CPU must have, in the words of GCC's __builtin_cpu_supports (x86-64,
    where amx-int8 also means the operating system's permission) or of Linux's HWCAP_* (aarch64). budget: vectors of
    16 words, accumulators and weights, that its registers hold beside temporaries: AVX-512 has 32 registers of 16
    words; elsewhere 16 words take several registers (AVX2: 2 of 16, SSE: 4 of 16, NEON: 4 of 32), and popcount without
    VPOPCNTD or cnt needs constants and temporaries. As many as no inner loop spills with
    (tests/kernels/test_registers.py). code_budget: accumulators alone, of level codes.
    """

    name: str
    architecture: str
    cpu: str
    features: str
    needs: tuple[str, ...]
    budget: int
    code_budget: int

    @property
    def products(self) -> dict[str, str]:
        """How level codes are multiplied: a format of kernels/formats.py -> a class of kernels/products.py, or
        "Tiles": kernels/accumulate_tiles.py.
        """
        if "amx-int8" in self.needs:
            return {"byte": "Tiles", "word": "VnniWords", "two-bytes": "Tiles"}
        if "+avx512vnni" in self.features:
            return {"byte": "VnniBytes", "word": "VnniWords"}
        return {"byte": "PairBytes", "word": "PairWords" if self.architecture == "x86_64" else "WideningWords"}

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
    Level("x86-64-v2", "x86_64", "x86-64-v2", "", ("sse4.2", "popcnt"), 2, 3),
    Level("x86-64-v3", "x86_64", "x86-64-v3", "", _V3, 5, 6),
    Level("x86-64-v4", "x86_64", "x86-64-v4", "-prefer-256-bit", _V4, 26, 24),
    Level(
        "x86-64-v4-vpopcntdq",
        "x86_64",
        "x86-64-v4",
        "-prefer-256-bit,+avx512vpopcntdq,+avx512bitalg,+avx512vnni",
        (*_V4, "avx512vpopcntdq", "avx512bitalg", "avx512vnni"),
        30,
        28,
    ),
    Level(
        "x86-64-v4-amx",
        "x86_64",
        "x86-64-v4",
        "-prefer-256-bit,+avx512vpopcntdq,+avx512bitalg,+avx512vnni,+amx-tile,+amx-int8",
        (*_V4, "avx512vpopcntdq", "avx512bitalg", "avx512vnni", "amx-int8"),
        30,
        28,
    ),
    Level("armv8-a", "aarch64", "generic", "+neon", (), 4, 6),
    Level("armv8.2-a-dotprod", "aarch64", "generic", "+v8.2a,+neon,+dotprod", ("ASIMDDP",), 4, 6),
)


def levels_of(architecture: str) -> list[Level]:
    """The levels of an architecture (platform.machine()'s name), lowest first."""
    return [level for level in LEVELS if level.architecture == architecture]

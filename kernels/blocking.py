"""How the M x N counts of a register block of pixels are divided to stay in vector registers.

M weight planes are taken in `parts_M` nearly equal parts, N activation planes in `parts_N`, the larger parts first. A
sub-block of m and n planes keeps m*n*P accumulators of LANES counts in registers, and its m weight vectors, unless each
is used but once (n*P = 1). Each sub-block is a pass over the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from paconv.bits import MAX_PLANES

__all__ = [
    "MAX_CODE_BLOCKS", "MAX_CODE_PIXELS", "MAX_COUNTS", "MAX_PIXELS", "TILE_ROWS", "Blocking", "PopcountPeak",
    "SubBlock", "blocking", "most_pixels", "peak_sums", "split", "sub_blocks",
]  # fmt: skip

MAX_PIXELS = 8
"""Most pixels in a register block."""

MAX_COUNTS = 64
"""Most counts P*M*N in a register block: one pixel of M = N = 8."""

MAX_CODE_PIXELS, MAX_CODE_BLOCKS = 32, 2
"""Most pixels and lane blocks in a register block of level codes."""

TILE_ROWS = 16
"""Rows of an AMX tile: pixels of activations, or words of weights."""


@dataclass(frozen=True)
class Blocking:
    """How (M, N) is taken: `pixels` of a register block, and the parts of M and of N."""

    M: int
    N: int
    pixels: int
    parts_M: int
    parts_N: int

    @property
    def sub_blocks(self) -> list[tuple[int, int]]:
        """(m, n) of each pass over the window."""
        return list(product(split(self.M, self.parts_M), split(self.N, self.parts_N)))


@dataclass(frozen=True)
class SubBlock:
    """m x n planes in one pass: of at most `pixels`; in_bytes: whether bits are counted a byte at a time."""

    m: int
    n: int
    pixels: int
    in_bytes: bool


@dataclass(frozen=True)
class PopcountPeak:
    """As many sums as keep the CPU busy; in_bytes: as for SubBlock."""

    sums: int
    in_bytes: bool


def blocking(M: int, N: int, budget: int) -> Blocking:
    """Split M x N planes into as few equal sub-blocks as fit the budget, and take as many pixels as then still fit.

    budget: vectors of LANES that fit in registers (kernels/cpus.py has it for each CPU).
    """
    parts_M, parts_N = min(
        (
            (rows, columns)
            for rows in range(1, M + 1)
            for columns in range(1, N + 1)
            if _registers(-(-M // rows), -(-N // columns), 1) <= budget
        ),
        key=lambda parts: (parts[0] * parts[1], parts[0]),
    )
    pixels = most_pixels(-(-M // parts_M), -(-N // parts_N), budget)
    return Blocking(M, N, min(pixels, MAX_COUNTS // (M * N)), parts_M, parts_N)


def most_pixels(m: int, n: int, budget: int) -> int:
    """Pixels of the largest register block of a sub-block of m x n planes."""
    return max(
        P for P in range(1, min(MAX_PIXELS, MAX_COUNTS // (m * n)) + 1) if P == 1 or _registers(m, n, P) <= budget
    )


def sub_blocks(budget: int) -> list[tuple[int, int]]:
    """Every (m, n) that some (M, N) is divided into."""
    planes = range(1, MAX_PLANES + 1)
    return sorted({part for M in planes for N in planes for part in blocking(M, N, budget).sub_blocks})


def _registers(m: int, n: int, pixels: int) -> int:
    """Vectors that a sub-block keeps in registers."""
    return m * n * pixels + (m if n * pixels > 1 else 0)


def split(count: int, parts: int) -> list[int]:
    """`count` in `parts` nearly equal sizes, the larger first."""
    return [count // parts + (k < count % parts) for k in range(parts)]


def peak_sums(budget: int) -> int:
    """Sums that kernels/probes/popcount_peak.py keeps in registers, beside as many weight vectors."""
    return max(1, budget // 2)

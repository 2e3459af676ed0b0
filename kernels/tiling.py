"""How the M x N counts of a pixel tile are divided to stay in vector registers.

A sub-block of m weight planes, n activation planes and P pixels keeps m*n*P accumulators of LANES counts in
registers, and its m weight vectors, unless each is used but once (n*P = 1). Where that is more than the budget, the
tile is taken in several sub-blocks, each a pass over the window.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAX_CODE_TILE", "MAX_TILE", "MAX_TILE_COUNTS", "Tiling", "code_tile", "limit_sums", "tiling"]

MAX_TILE = 8
"""Most pixels in a tile."""

MAX_TILE_COUNTS = 64
"""Most counts P*M*N in a tile: one pixel of M = N = 8."""


MAX_CODE_TILE = 16
"""Most pixels in a tile of level codes."""


@dataclass(frozen=True)
class Tiling:
    """How (M, N) is taken: `pixels` of a tile, and sub-blocks (first i, m, first j, n) that cover M x N."""

    pixels: int
    blocks: tuple[tuple[int, int, int, int], ...]


def tiling(M: int, N: int, budget: int) -> Tiling:
    """Split M x N planes into as few equal sub-blocks as fit the budget, and take as many pixels as then still fit.

    budget: vectors of LANES that fit in registers (kernels/levels.py has it for each CPU level).
    """
    best = min(
        (
            (rows, columns)
            for rows in range(1, M + 1)
            for columns in range(1, N + 1)
            if _registers(-(-M // rows), -(-N // columns), 1) <= budget
        ),
        key=lambda parts: (parts[0] * parts[1], parts[0]),
    )
    row_sizes, column_sizes = _split(M, best[0]), _split(N, best[1])
    pixels = max(
        P
        for P in range(1, min(MAX_TILE, MAX_TILE_COUNTS // (M * N)) + 1)
        if P == 1 or _registers(row_sizes[0], column_sizes[0], P) <= budget
    )
    blocks = tuple(
        (sum(row_sizes[:a]), m, sum(column_sizes[:b]), n)
        for a, m in enumerate(row_sizes)
        for b, n in enumerate(column_sizes)
    )
    return Tiling(pixels, blocks)


def _registers(m: int, n: int, pixels: int) -> int:
    """Vectors that a sub-block keeps in registers."""
    return m * n * pixels + (m if n * pixels > 1 else 0)


def _split(count: int, parts: int) -> list[int]:
    """`count` in `parts` nearly equal sizes, the larger first."""
    return [count // parts + (k < count % parts) for k in range(parts)]


def limit_sums(budget: int) -> int:
    """Sums that kernels/limit.py keeps in registers, beside as many weight vectors."""
    return max(1, budget // 2)


def code_tile(D: int, budget: int) -> int:
    """Pixels of a tile of level codes of D digits: D accumulators each, beside D weight vectors; a divisor of 16."""
    fits = max(1, (budget - 2) // D)
    return max(pixels for pixels in (1, 2, 4, 8, MAX_CODE_TILE) if pixels <= fits and pixels * D <= MAX_CODE_TILE)

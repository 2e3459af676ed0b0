"""How the M x N counts of a pixel tile are divided to stay in vector registers.

A sub-block of m weight planes, n activation planes and P pixels keeps m*n*P accumulators of LANES counts in
registers, and its m weight vectors, unless each is used but once (n*P = 1). Where that is more than the budget, the
tile is taken in several sub-blocks, each a pass over the window.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.kernels.formats import FORMATS
from paconv.kernels.levels import Level

__all__ = [
    "MAX_CODE_BLOCKS",
    "MAX_CODE_PIXELS",
    "MAX_TILE",
    "MAX_TILE_COUNTS",
    "TILE_ROWS",
    "CodeTile",
    "Tiling",
    "amx_tile",
    "code_tile",
    "limit_sums",
    "tile_number",
    "tiling",
]

MAX_TILE = 8
"""Most pixels in a tile."""

MAX_TILE_COUNTS = 64
"""Most counts P*M*N in a tile: one pixel of M = N = 8."""

MAX_CODE_PIXELS, MAX_CODE_BLOCKS = 32, 2
"""Most pixels and lane blocks in a tile of level codes."""

_MOST_VECTOR_PIXELS = 12

TILE_ROWS = 16
"""Rows of an AMX tile: pixels of activations, or words of weights."""


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


@dataclass(frozen=True)
class CodeTile:
    """A tile of level codes: at most `pixels` (even) pixels of at most `blocks` lane blocks, an accumulator each."""

    blocks: int
    pixels: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of pixels that there is a microkernel for, up to all, smallest first."""
        return tuple(range(2, self.pixels + 1, 2))


def code_tile(budget: int, spans: bool) -> CodeTile:
    """The tile for a budget of accumulators. With many registers it has two lane blocks, so that an activation serves
    twice, and, where sums are taken in spans, room for the spans' totals; with few, those go to memory.
    """
    blocks = 2 if budget >= 16 else 1
    accumulators = budget // 2 if spans and blocks == 2 else budget
    return CodeTile(blocks, min(_MOST_VECTOR_PIXELS, accumulators // (2 * blocks) * 2))


def amx_tile(D: int) -> CodeTile:
    """The tile on AMX: its eight tile registers hold sums of 2 x 2 tiles for one digit, of 1 x 2 for two."""
    return CodeTile(2, TILE_ROWS * (3 - D))


def tile_number(kernel: str, variant: tuple[int, int], level: Level) -> int:
    """How the shim and the kernels are told a tile of the kernel's variant at a CPU level: its pixels, and for level
    codes 256 times its lane blocks; 0 for a task.
    """
    if kernel == "accumulate":
        return tiling(*variant, level.budget).pixels
    if kernel == "accumulate_codes":
        chosen = next(f for f in FORMATS.values() if f.number == variant[0])
        on_amx = level.products[chosen.name] == "Tiles"
        tile = amx_tile(chosen.D) if on_amx else code_tile(level.code_budget, chosen.spans)
        return 256 * tile.blocks + tile.pixels
    return 0

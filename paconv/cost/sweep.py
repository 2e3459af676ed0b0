"""Choosing M and N before training: memory and Flops of a network over a grid of planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paconv.cost.count import Cost, count
from paconv.cost.layers import Network
from paconv.cost.rules import Rule, Storage
from paconv.cost.schemes import under_scheme
from paconv.cost.tables import Column, Table, exact, ratio

__all__ = ["PLANES_M", "PLANES_N", "Point", "sweep", "sweep_data", "sweep_table"]

PLANES_M = (2, 4, 6, 8)
PLANES_N: tuple[int | None, ...] = (1, 2, 3, 4, 5, 6, 7, 8, None)
"""None: full-precision activations, only weights are binarized."""


@dataclass(frozen=True)
class Point:
    """A network as PA with M and N planes, and its totals."""

    M: int
    N: int | None
    totals: Cost

    @property
    def megabits(self) -> float:
        return self.totals.bits / 1e6

    @property
    def flops(self) -> float:
        return float(self.totals.flops)


def sweep(network: Network, by: Rule, stored: Storage, keep_real: Sequence[str] = ()) -> list[Point]:
    """Totals for every M and N. Raises UsageError if the rule isn't known for all of them."""
    points = []
    for M in PLANES_M:
        for N in PLANES_N:
            planned = under_scheme(network, "pa", M, N, full_activations=N is None, keep_real=keep_real)
            points.append(Point(M, N, count(planned, by, stored).totals))
    return points


_COLUMNS = (
    Column("M", "M"),
    Column("N", "N"),
    Column("bits", "memory [Mbit]", "counted", lambda bits: f"{bits / 1e6:.2f}"),
    Column("memory_saving", "saving", "counted", ratio),
    Column("flops", "Flops", "counted", lambda flops: f"{float(flops):.4g}"),
    Column("speedup", "speedup", "counted", ratio),
)


def _rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [
        {
            "M": p.M,
            "N": "full" if p.N is None else p.N,
            "bits": p.totals.bits,
            "memory_saving": p.totals.memory_saving,
            "flops": p.totals.flops,
            "speedup": p.totals.speedup,
        }
        for p in points
    ]


def sweep_table(points: Sequence[Point], source: str, by: Rule, stored: Storage) -> Table:
    notes = (
        f"rule {by.name}: {by.meaning}. storage {stored.name}: {stored.meaning}",
        "provenance: counted from shapes, by the paper's conventions; nothing is measured. "
        "N full: only weights are binarized",
    )
    return Table(f"{source} as PA over M and N", _COLUMNS, _rows(points), notes=notes)


def sweep_data(points: Sequence[Point], source: str, by: Rule, stored: Storage) -> dict[str, Any]:
    rows = [{key: exact(value) for key, value in row.items()} for row in _rows(points)]
    return {
        "source": source,
        "rule": by.name,
        "storage": stored.name,
        "points": rows,
        "provenance": {c.key: c.provenance for c in _COLUMNS if c.provenance},
    }

"""Choosing M and N before training: memory, Flops and predicted latency of a network over a grid of planes.

More planes approximate better. So a point is *beaten* if another has no fewer planes on either side (N full is the
most), takes no more memory and no more time, and less of one of them; the rest are the Pareto curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paconv.cost.count import Cost, count
from paconv.cost.host.kernels import network_seconds
from paconv.cost.host.model import HostModel
from paconv.cost.host.report import PREDICTED, host_rates
from paconv.cost.rules import Rule, Storage
from paconv.cost.schemes import under_scheme
from paconv.cost.units import duration, scale, time_unit, with_unit
from paconv.network.layers import Network
from paconv.reporting.tables import Column, Table, exact, ratio

__all__ = ["PLANES_M", "PLANES_N", "Point", "beaten", "sweep", "sweep_data", "sweep_table"]

PLANES_M = (2, 4, 6, 8)
PLANES_N: tuple[int | None, ...] = (1, 2, 3, 4, 5, 6, 7, 8, None)
"""None: full-precision activations, only weights are binarized."""


@dataclass(frozen=True)
class Point:
    """A network as PA with M and N planes, and its totals."""

    M: int
    """Weight planes."""
    N: int | None
    """Activation planes; None for full precision."""
    totals: Cost
    """Of the whole network."""
    latency: float | None = None
    """Seconds predicted on a host; None without one."""

    @property
    def bits(self) -> int:
        return self.totals.bits

    @property
    def flops(self) -> float:
        return float(self.totals.flops)


def sweep(
    network: Network, by: Rule, stored: Storage, keep_real: Sequence[str] = (), host: HostModel | None = None
) -> list[Point]:
    """Totals for every M and N, with latencies if there is a host model.

    host: with rates for every pair of PLANES_M and PLANES_N. Raises UsageError if the rule isn't known for all of them.
    """
    points = []
    for M in PLANES_M:
        for N in PLANES_N:
            planned = under_scheme(network, "pa", M, N, full_activations=N is None, keep_real=keep_real)
            latency = None if host is None else network_seconds(host, planned)[0]
            points.append(Point(M, N, count(planned, by, stored).totals, latency))
    return points


def beaten(point: Point, points: Sequence[Point]) -> bool:
    """Whether another point has as many planes for no more memory and time, and less of one.

    All are points of one sweep on a host.
    """

    def planes(p: Point) -> tuple[float, float]:
        return p.M, float("inf") if p.N is None else p.N

    def price(p: Point) -> tuple[int, float]:
        return p.totals.bits, p.latency or 0.0

    return any(
        all(more >= have for more, have in zip(planes(p), planes(point), strict=True))
        and all(less <= have for less, have in zip(price(p), price(point), strict=True))
        and price(p) != price(point)
        for p in points
    )


def _figures(points: Sequence[Point]) -> tuple[Column, ...]:
    """The columns of figures, memory in a unit that suits the largest point."""
    unit, prefix = scale(max(p.bits for p in points), most=1e6)

    def shown(bits: int) -> str:
        return f"{bits / unit:.2f}"

    return (
        Column("M", "M"),
        Column("N", "N"),
        Column("bits", f"memory [{prefix}bit]", "counted", shown, csv_key="bits_counted"),
        Column("memory_saving", "saving", "counted", ratio, csv_key="memory_saving_counted"),
        Column("level_index_bits", f"level index [{prefix}bit]", "counted", shown, csv_key="level_index_bits_counted"),
        Column("flops", "Flops", "counted", lambda flops: f"{float(flops):.4g}", csv_key="flops_counted"),
        Column("speedup", "speedup", "counted", ratio, csv_key="speedup_counted"),
    )


def _host_columns(points: Sequence[Point]) -> tuple[Column, ...]:
    unit, read = time_unit(max(p.latency or 0.0 for p in points))
    return (
        Column("latency", f"latency [{unit}]", PREDICTED, read, csv_key="latency_predicted_s"),
        Column("beaten", "", PREDICTED, lambda beaten: "beaten" if beaten else "", csv_key="beaten_predicted"),
    )


def _rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [
        {
            "M": p.M,
            "N": "full" if p.N is None else p.N,
            "bits": p.totals.bits,
            "level_index_bits": p.totals.level_index_bits,
            "memory_saving": p.totals.memory_saving,
            "flops": p.totals.flops,
            "speedup": p.totals.speedup,
            **({} if p.latency is None else {"latency": p.latency, "beaten": beaten(p, points)}),
        }
        for p in points
    ]


def _columns(points: Sequence[Point], host: HostModel | None) -> tuple[Column, ...]:
    return _figures(points) if host is None else (*_figures(points), *_host_columns(points))


def sweep_table(
    points: Sequence[Point], source: str, by: Rule, stored: Storage, host: HostModel | None = None
) -> Table:
    definitions = [
        f"rule {by.name}: {by.meaning}. storage {stored.name}: {stored.meaning}",
        "memory and saving are by this storage; level index is what an optimized pa.onnx stores "
        "(--storage level-index)",
        "provenance: memory and Flops are counted from shapes, by the paper's conventions. N full: only weights are "
        "binarized",
    ]
    notes = [f"counted by rule {by.name}, storage {stored.name}"]
    if host is not None:
        notes.append(f"latency is {PREDICTED}: {host.identity['cpu']}, threads {host.threads}")
        definitions += [
            "beaten: a point with as many planes or more takes no more memory and no more time, and less of one",
        ]
    return Table(
        f"{source} as PA over M and N", _columns(points, host), _rows(points), notes=notes, definitions=definitions,
        line=_line(points),
    )  # fmt: skip


def _line(points: Sequence[Point]) -> str:
    """Between what memory, Flops and latency lie."""

    def between(values: Sequence[float], read: Callable[[float], str]) -> str:
        return f"{read(min(values))} to {read(max(values))}"

    line = f"{len(points)} pairs of M and N: memory {between([p.bits for p in points], lambda b: with_unit(b, 'bit'))}"
    line += f", Flops {between([p.flops for p in points], lambda flops: f'{flops:,.0f}')}"
    known = [p.latency for p in points if p.latency is not None]
    return line + (f", latency {between(known, duration)} (predicted)" if known else "")


def sweep_data(
    points: Sequence[Point], source: str, by: Rule, stored: Storage, host: HostModel | None = None
) -> dict[str, Any]:
    """The sweep as plain data; latency in seconds."""
    rows = [{key: exact(value) for key, value in row.items()} for row in _rows(points)]
    return {
        "source": source,
        "rule": by.name,
        "storage": stored.name,
        "points": rows,
        "provenance": {c.key: c.provenance for c in _columns(points, host) if c.provenance},
        **({} if host is None else {"host": dict(host.identity), "rates": host_rates(host)}),
    }

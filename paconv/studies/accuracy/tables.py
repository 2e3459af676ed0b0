"""The comparison as tables: the paper's Tables 3 and 6 in small, and the differences that an order rests on."""

from __future__ import annotations

from typing import Any

from paconv.reporting.tables import Column, Table, ratio
from paconv.studies.accuracy.comparison import Comparison, Outcome
from paconv.studies.accuracy.statistics import difference, figures
from paconv.studies.accuracy.systems import parse_system
from paconv.train.recipe import FLOAT

__all__ = ["ORDER", "differences_table", "results_table", "tuning_table"]

TABLE3 = ("abc", "pa", FLOAT)
"""Schemes of the paper's Table 3; Table 6 has all."""

ORDER = tuple(map(parse_system, ("float", "pa:8,7", "pa:4,5", "abc:5,5", "bireal")))
"""Each better than the next, as the paper's tables have it."""


def percent(value: float) -> str:
    """0.8123 -> 81.2."""
    return f"{100 * value:.1f}"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"


_RESULTS = (
    Column("system", "system", left=True),
    Column("M", "M"),
    Column("N", "N"),
    Column("mean", "accuracy [%]", "measured", percent),
    Column("spread", "spread", "measured", percent),
    Column("gap", "to full precision", "measured", _signed),
    Column("gap_interval", "+-", "measured", percent),
    Column("seeds", "seeds"),
    Column("rate", "rate", read="{:g}".format),
    Column("megabits", "memory [Mbit]", "counted", "{:.3f}".format),
    Column("saving", "saving", "counted", ratio),
    Column("flops", "Flops", "counted", "{:.3g}".format),
    Column("speedup", "speedup", "counted", ratio),
    Column("kilobytes", "file [kB]", "measured", "{:.1f}".format),
    Column("deployed", "pa.onnx", left=True),
)


def results_table(comparison: Comparison, data: str, title: str, schemes: tuple[str, ...] | None = None) -> Table:
    """Every system on one data set, or those of some schemes."""
    outcomes = [o for o in comparison.of(data) if schemes is None or _scheme(o) in schemes]
    real = comparison.find(data, FLOAT)
    return Table(title, _RESULTS, [_row(outcome, real) for outcome in outcomes])


def _row(outcome: Outcome, real: Outcome | None) -> dict[str, Any]:
    scheme, found, cost = outcome.system.scheme, figures(outcome.results), outcome.deployed
    row: dict[str, Any] = {
        "system": outcome.system.title,
        "M": "" if scheme is None else scheme.M,
        "N": "" if scheme is None else "full" if scheme.N is None else scheme.N,
        "rate": outcome.rate,
        "seeds": f"{0 if found is None else found.count} of {len(outcome.records)}",
    }
    if found is not None:
        row |= {"mean": found.mean, "spread": found.spread}
    if real is not None and outcome is not real and (gap := difference(outcome.results, real.results)) is not None:
        row |= {"gap": gap.mean, "gap_interval": gap.half_width}
    if cost is not None:
        row |= {
            "megabits": cost.bits / 1e6,
            "flops": cost.flops,
            "kilobytes": cost.file_bytes / 1e3,
            "deployed": _agreement(outcome),
        }
    if cost is not None and real is not None and real.deployed is not None:
        row |= {"saving": real.deployed.bits / cost.bits, "speedup": real.deployed.flops / cost.flops}
    return row


def _agreement(outcome: Outcome) -> str:
    cost = outcome.deployed
    if cost is None:
        return "no network"
    parts = [] if cost.verified is None else ["verified" if cost.verified else "differs"]
    if cost.same is not None:
        parts.append(f"{cost.same:,} of {cost.samples:,} the same")
    return ", ".join(parts)


_DIFFERENCES = (
    Column("pair", "better, by the paper - worse", left=True),
    Column("mean", "difference [points]", "measured", _signed),
    Column("interval", "+-", "measured", percent),
    Column("spread", "spread", "measured", percent),
    Column("seeds", "seeds that say so"),
    Column("verdict", "", left=True),
)


def differences_table(comparison: Comparison, data: str) -> Table:
    """Neighbours in the paper's order, paired by seed."""
    there = [outcome for system in ORDER if (outcome := comparison.find(data, system.name)) is not None]
    rows = []
    for better, worse in zip(there, there[1:], strict=False):
        found = difference(better.results, worse.results)
        if found is None:
            continue
        verdict = "not shown"
        if found.shown:
            verdict = "shown" if found.mean > 0 else "the other way round"
        rows.append(
            {
                "pair": f"{better.system.title} - {worse.system.title}",
                "mean": found.mean,
                "interval": found.half_width,
                "spread": found.spread,
                "seeds": f"{found.higher} of {found.count}" + (f", {found.lower} against" if found.lower else ""),
                "verdict": verdict,
            }
        )
    notes = ["shown: the 95 % interval of the mean difference over seeds (+-) leaves 0 out"]
    return Table(f"{data}: the order", _DIFFERENCES, rows, notes=notes)


def tuning_table(comparison: Comparison, data: str) -> Table:
    """What each rate gave on the validation samples."""
    rates = comparison.study.rates
    columns = (
        Column("system", "system", left=True),
        Column("start", "starts from", left=True),
        *(Column(f"{rate:g}", f"{rate:g}", "measured", lambda v: percent(v) if v >= 0 else "failed") for rate in rates),
        Column("chosen", "chosen", read="{:g}".format),
    )
    rows = []
    for outcome in (*(p for p in comparison.parents if p.data == data), *comparison.of(data)):
        bare = outcome.runs[0].parent is None
        name = f"float network, {outcome.activation}" if bare else outcome.system.title
        start = "random weights" if bare else f"float network, {outcome.activation}"
        tries = {f"{rate:g}": score for rate, score in outcome.tries.items()}
        rows.append({"system": name, "start": start, **tries, "chosen": outcome.rate})
    return Table(f"{data}: accuracy on the validation samples by rate, seed 0 [%]", columns, rows)


def _scheme(outcome: Outcome) -> str:
    return FLOAT if outcome.system.scheme is None else outcome.system.scheme.name

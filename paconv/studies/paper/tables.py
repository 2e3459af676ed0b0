"""The paper's Tables 2, 7 and 8 made again: what it prints, what its rules give, how far the two are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paconv.cost.count import count
from paconv.cost.latency import OPERATIONS, Delay, full_precision, single_bit, speedup_limit, with_planes
from paconv.cost.rules import rule
from paconv.cost.schemes import under_scheme
from paconv.reporting.tables import Column, Table, ratio
from paconv.schemes import SCHEMES
from paconv.studies.paper.printed import FOOTNOTES, GATES, TABLE7, TABLE8, PrintedRow
from paconv.studies.paper.resnet import resnet

__all__ = ["FIGURES", "Figure", "table2", "table7", "table7_figures", "table8", "table8_numbers"]

FIGURES = ("memory", "saving", "flops", "speedup")

_AGREES = 0.01
"""Deviation up to which a figure is the printed one."""

WINDOWS = (576, 1152, 2304, 4608)
"""c_in h w of ResNet18's 3x3 convolutions."""


@dataclass(frozen=True)
class Figure:
    """A figure of Table 7 and ours."""

    printed: float | None
    """In the paper; None where nothing is printed."""
    ours: float
    """As counted."""
    footnotes: tuple[str, ...]
    """Those that explain a difference."""

    @property
    def deviation(self) -> float | None:
        """ours / printed - 1."""
        return None if self.printed is None else self.ours / self.printed - 1


def table7_figures(pa_rule: str = "table7") -> dict[str, dict[str, Figure]]:
    """Model -> figure -> Figure, for the twelve rows. pa_rule: how the operations of the PA rows are counted."""
    return {row.model: _figures(row, pa_rule) for row in TABLE7}


def _figures(row: PrintedRow, pa_rule: str) -> dict[str, Figure]:
    network = under_scheme(resnet(row.depth), row.scheme)
    by = rule(pa_rule if row.scheme == "pa" else "text")
    totals = count(network, by).totals
    flops = totals.flops
    if row.scheme == "bireal" and row.depth == 50:
        flops = count(under_scheme(resnet(50), "bireal", keep_real=["layer1.0.conv1"]), by).totals.flops
    ours = {
        "memory": totals.bits / 1e6,
        "saving": totals.float_bits / totals.bits,
        "flops": float(flops),
        "speedup": float(totals.float_flops / flops),
    }
    return {
        name: Figure(getattr(row, name), ours[name], row.footnotes.get(name, ()))
        for name in FIGURES
        if getattr(row, name) is not None
    }


def table7(pa_rule: str = "table7") -> Table:
    """Table 7: twelve rows, each figure as printed, ours and their deviation, footnotes below."""
    readers = {"memory": lambda v: f"{v:.2f}", "saving": ratio, "flops": lambda v: f"{v:.4g}", "speedup": ratio}
    titles = {"memory": "Mbit", "saving": "saving", "flops": "Flops", "speedup": "speedup"}
    columns = [Column("model", "model", left=True)]
    for name in FIGURES:
        columns += [
            Column(f"{name}_printed", f"{titles[name]} printed", "the paper", readers[name]),
            Column(f"{name}_ours", "ours", "counted", readers[name]),
            Column(f"{name}_deviation", "off", "counted", str),
        ]
    rows = []
    for model, figures in table7_figures(pa_rule).items():
        row: dict[str, Any] = {"model": model}
        for name, figure in figures.items():
            row[f"{name}_printed"], row[f"{name}_ours"] = figure.printed, figure.ours
            marks = "".join(figure.footnotes)
            row[f"{name}_deviation"] = f"{figure.deviation:+.1%}" + (f" {marks}" if marks else "")
        rows.append(row)
    notes = [f"{mark}: {text}" for mark, text in footnotes(pa_rule).items()]
    notes.append("provenance: printed is the paper's, ours is counted from layer shapes (224x224, ResNet50 v1), "
                 "off is ours / printed - 1")  # fmt: skip
    off = [
        abs(f.deviation) for row in table7_figures(pa_rule).values() for f in row.values() if f.deviation is not None
    ]
    line = f"Table 7: {sum(each <= _AGREES for each in off)} of {len(off)} figures are the paper's within {_AGREES:.0%}"
    return Table("Table 7: memory, Flops (PA: M=4, N=5; ABC: M=N=5)", columns, rows, notes=notes, line=line)


def footnotes(pa_rule: str) -> dict[str, str]:
    """Mark -> text."""
    return {mark: text.replace("{rule}", pa_rule) for mark, text in FOOTNOTES.items()}


def table2(M: int, N: int) -> Table:
    """Table 2's gates, their ratios, and a PA convolution's gates against an XNOR convolution's.

    Bit counts are left out.
    """
    xnor, gate = GATES["XNOR"], GATES["AND"]
    columns = [
        Column("what", "", left=True),
        Column("delay", "delay", read=_plain),
        Column("area", "area", read=_plain),
        Column("power", "power", read=_plain),
        Column("provenance", "provenance", left=True),
    ]
    ratios = {key: getattr(gate, key) / getattr(xnor, key) for key in ("delay", "area", "power")}

    def against(bases: int, others: int) -> dict[str, float]:
        share = bases / others
        return {"delay": ratios["delay"], "area": ratios["area"] * share, "power": ratios["power"] * share}

    rows = [
        {"what": "XNOR gate [ps, nm^2, nW]", **vars(xnor), "provenance": "the paper"},
        {"what": "AND gate [ps, nm^2, nW]", **vars(gate), "provenance": "the paper"},
        {"what": "XNOR / AND", **{key: 1 / value for key, value in ratios.items()}, "provenance": "their ratio"},
        {"what": "1 AND base / 1 XNOR base (AND / XNOR)", **ratios, "provenance": "their ratio"},
        {"what": f"PA {M}x{N} / Bi-Real (1 XNOR base)", **against(M * N, 1), "provenance": "ratio x bases"},
        {"what": f"PA {M}x{N} / ABC {M}x{N} ({M * N} XNOR bases)", **against(1, 1), "provenance": "ratio x bases"},
        {"what": f"PA {M}x{N} / ABC 5x5 (25 XNOR bases)", **against(M * N, 25), "provenance": "ratio x bases"},
    ]
    notes = (
        "a PA convolution has the gates of M*N bases of AND, all working in parallel: delay is a gate's, area and "
        "power grow with the bases",
        "gates only: bit counts, multiplications, sums and comparisons are left out, as in the paper",
        "eq. 21's sign is wrong in the paper: the dot product of +-1 vectors of n bits is 2 bitcount(XNOR) - n",
    )
    return Table("Table 2: 7 nm gates, and what they imply for a convolution", columns, rows, notes=notes)


def table8(times: Mapping[str, float]) -> Table:
    """Table 8: latency of one convolution as printed and for any M and N."""
    general = {
        "bireal": "n (T_XNOR + T_pop) + T_mul",
        "pa": "n (T_AND + T_pop) + N T_mul + (N-1) T_add + T_com",
        "float": "n T_mul + (n-1) T_add",
    }
    columns = [
        Column("model", "model", left=True),
        Column("printed", "printed (N=5)", "the paper", left=True),
        Column("formula", "any M and N, n = c_in h w", "the paper", left=True),
        Column("speedup", "speedup for large n", "the paper", left=True),
    ]
    rows = []
    for scheme, (name, printed, _) in TABLE8.items():
        limit = None if scheme == "float" else speedup_limit(SCHEMES[scheme].gate, times)
        text = f"{limit:.3f}x" if isinstance(limit, float) else limit
        rows.append({"model": name, "printed": printed, "formula": general[scheme], "speedup": text})
    notes = [
        "M is in no formula: the M branches run in parallel, and the sum across them is left out, as in the paper",
        "provenance: formulas from the paper; " + _times(times),
    ]
    return Table("Table 8: latency of one convolution, fully parallel", columns, rows, notes=notes)


def table8_numbers(N: int, times: Mapping[str, float]) -> Table:
    """Table 8 for ResNet18's 3x3 convolutions, with the T's that are given put in."""
    makers = {"full precision": full_precision, "Bi-Real": single_bit, f"PA, N={N}": lambda n: with_planes(n, N)}
    columns = [Column("n", "n = c_in h w", "counted", lambda n: f"{n:,}")]
    for title in makers:
        columns.append(Column(title, title, "Table 8"))
        if title != "full precision":
            columns.append(Column(f"speedup {title}", "speedup", "Table 8", ratio))
    rows = []
    for n in WINDOWS:
        delays: dict[str, Delay] = {title: make(n).at(times) for title, make in makers.items()}
        row: dict[str, Any] = {"n": n, **{title: str(delay) for title, delay in delays.items()}}
        base = delays["full precision"].value
        for title, delay in delays.items():
            if title != "full precision" and base is not None and delay.value:
                row[f"speedup {title}"] = base / delay.value
        rows.append(row)
    notes = ["provenance: n counted from ResNet18's 3x3 convolutions; " + _times(times)]
    return Table("Table 8 for the convolutions of ResNet18", columns, rows, notes=notes)


def _times(times: Mapping[str, float]) -> str:
    if not times:
        return "every T is a symbol: the paper gives T_AND = 9.62 ps and T_XNOR = 10.87 ps (Table 2) and no other"
    known = ", ".join(f"T_{op} = {times[op]:g}" for op in OPERATIONS if op in times)
    return f"as given: {known}"


def _plain(value: float) -> str:
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"

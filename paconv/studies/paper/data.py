"""The reproduced tables as plain data for JSON, every figure with its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paconv.cost.latency import speedup_limit
from paconv.reporting.tables import Table
from paconv.schemes import SCHEMES
from paconv.studies.paper.printed import GATES, TABLE8
from paconv.studies.paper.tables import footnotes, table2, table7_figures, table8_numbers

__all__ = ["paper_data"]


def paper_data(pa_rule: str, M: int, N: int, times: Mapping[str, float]) -> dict[str, Any]:
    """Tables 2, 7 and 8. times: operation -> T; what isn't given stays a formula."""
    return {
        "table7": {
            "rows": [
                {"model": model}
                | {
                    name: {
                        "printed": figure.printed,
                        "ours": figure.ours,
                        "deviation": figure.deviation,
                        "footnotes": list(figure.footnotes),
                    }
                    for name, figure in figures.items()
                }
                for model, figures in table7_figures(pa_rule).items()
            ],
            "rule": pa_rule,
            "units": {"memory": "Mbit", "saving": "ratio", "flops": "operations", "speedup": "ratio"},
            "footnotes": footnotes(pa_rule),
            "provenance": {"printed": "the paper", "ours": "counted", "deviation": "counted: ours / printed - 1"},
        },
        "table8": {
            "rows": [
                {
                    "model": name,
                    "printed": printed,
                    "speedup_for_large_n": None if limit is None else speedup_limit(SCHEMES[scheme].gate, times),
                }
                for scheme, (name, printed, limit) in TABLE8.items()
            ],
            "resnet18": _rows(table8_numbers(N, times)),
            "N": N,
            "times": dict(times),
            "provenance": "formulas from the paper, n counted, times as given",
        },
        "table2": {
            "gates": {name: vars(gate) for name, gate in GATES.items()},
            "units": {"delay": "ps", "area": "nm^2", "power": "nW"},
            "rows": _rows(table2(M, N)),
        },
    }


def _rows(table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in table.rows]

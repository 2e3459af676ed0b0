"""Table 8's model applied to a network: in full precision, as Bi-Real Net and under a scheme of planes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paconv.cost.latency import Delay, layer_delay, network_delay, speedup_limit
from paconv.cost.schemes import under_scheme
from paconv.network.layers import BATCH_NORM, Network
from paconv.reporting.tables import Column, Table
from paconv.schemes import SCHEMES

__all__ = ["latency_data", "latency_table"]

_PROVENANCE = (
    "provenance: formulas from the paper (Table 8), n counted from shapes, every T as given on the command line; "
    "nothing is measured",
    "the hardware of Table 8 works on all outputs and bases in parallel; layers run one after the other",
)


def _variants(network: Network) -> dict[str, Network]:
    """Column title -> network.

    A network without binary layers is compared as PA with the scheme's default planes.
    """
    binary = next((layer.planes for layer in network if layer.planes is not None), None)
    last = network if binary is not None else under_scheme(network, "pa")
    planes = binary or next((layer.planes for layer in last if layer.planes is not None), None)
    variants = {"full precision": under_scheme(network, "float"), "bireal": under_scheme(network, "bireal")}
    if planes is not None and planes.scheme != "bireal":
        variants[str(planes)] = last
    return variants


def latency_data(network: Network, times: Mapping[str, float], source: str) -> dict[str, Any]:
    """The table as plain data: formulas as text, numbers where every T in them is given."""
    variants = _variants(network)
    layers = [
        {"name": layers[0].name, "n": layers[0].window}
        | {title: _data(layer_delay(layer), times) for title, layer in zip(variants, layers, strict=True)}
        for layers in zip(*variants.values(), strict=True)
        if layers[0].kind != BATCH_NORM
    ]
    totals = {title: _data(network_delay(variant), times) for title, variant in variants.items()}
    return {
        "source": source,
        "times": dict(times),
        "layers": layers,
        "totals": totals,
        "speedup_for_large_n": {"bireal": speedup_limit("XNOR", times), "pa": speedup_limit("AND", times)},
        "provenance": list(_PROVENANCE),
    }


def latency_table(network: Network, times: Mapping[str, float], source: str) -> Table:
    """Latency of each layer and of the network; times: operation -> T, symbols where missing."""
    variants = _variants(network)
    columns = [Column("name", "layer", left=True, folds=True), Column("n", "n", read=lambda n: f"{n:,}")]
    columns += [Column(title, title, csv_key=f"{title} (formula of Table 8)") for title in variants]
    rows: list[dict[str, Any]] = []
    for layers in zip(*variants.values(), strict=True):
        if layers[0].kind != BATCH_NORM:
            delays = {title: str(layer_delay(layer).at(times)) for title, layer in zip(variants, layers, strict=True)}
            rows.append({"name": layers[0].name, "n": layers[0].window, **delays})
    totals = {title: network_delay(variant).at(times) for title, variant in variants.items()}
    rows.append({"name": "total", **{title: str(delay) for title, delay in totals.items()}})
    notes = [f"speedup of the network: {text}" for text in [_speedups(totals)] if text]
    for scheme in ("bireal", "pa"):
        limit = speedup_limit(SCHEMES[scheme].gate, times)
        notes.append(f"speedup of {scheme} for large n: {limit if isinstance(limit, str) else f'{limit:.2f}x'}")
    line = _speedups(totals) or ", ".join(f"{title} {delay}" for title, delay in totals.items())
    return Table(
        f"Latency of {source} (Table 8)", columns, rows, totals=1, notes=notes, definitions=_PROVENANCE,
        line=f"{'speedup' if _speedups(totals) else 'latency'} of the network: {line}",
    )  # fmt: skip


def _data(delay: Delay, times: Mapping[str, float]) -> dict[str, Any]:
    return {"formula": str(delay), "value": delay.at(times).value}


def _speedups(totals: Mapping[str, Delay]) -> str:
    base, *others = totals.items()
    known = [(title, delay.value) for title, delay in others if delay.value]
    return ", ".join(f"{title} {base[1].value / value:.2f}x" for title, value in known if base[1].value is not None)

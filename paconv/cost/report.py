"""The report on one network: a row per layer, totals, what was left out, and each figure's provenance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from paconv.cost.count import Cost, LayerCost, NetworkCost, counting
from paconv.cost.rules import STORAGES
from paconv.cost.units import with_unit
from paconv.network.layers import BATCH_NORM, Layer, Network
from paconv.reporting.tables import Column, Table, exact, grouped, ratio, significant

__all__ = ["BRIEF_COLUMNS", "COLUMNS", "as_brief_table", "as_csv_table", "as_data", "as_table"]

COLUMNS = (
    Column("name", "layer", left=True),
    Column("kind", "kind", left=True),
    Column("weight_shape", "weight shape", left=True),
    Column("output_shape", "output", left=True),
    Column("weights", "weights", read=grouped),
    Column("macs", "MACs", read=grouped),
    Column("real_bits", "real bits", read=grouped),
    Column("binary_bits", "binary bits", read=grouped),
    Column("memory_saving", "saving", read=ratio),
    Column("real_macs", "real MACs", read=grouped),
    Column("bitwise_ops", "bitwise ops", read=grouped),
    Column("multiplications", "mults", read=grouped),
    Column("comparisons", "comparisons", read=grouped),
    Column("flops", "Flops", read=grouped),
    Column("speedup", "speedup", read=ratio),
)

_CSV_COLUMNS = (
    Column("nodes", "nodes"),
    Column("held_parameters", "held parameters"),
    Column("provenance", "provenance"),
)
"""What CSV has beside COLUMNS; the first two are of rows that aren't counted."""

_THOUSAND, _MILLION = 1_000, 1_000_000


def _brief(key: str, title: str, unit: int, detail: bool = False) -> Column:
    return Column(key, title, read=lambda value: significant(value, unit), detail=detail)


BRIEF_COLUMNS = (
    Column("name", "layer", left=True, folds=True),
    Column("kind", "kind", left=True),
    Column("weight_shape", "weight shape", left=True, detail=True),
    _brief("weights", "weights\n[k]", _THOUSAND),
    _brief("macs", "MACs\n[M]", _MILLION),
    _brief("real_bits", "real\n[kbit]", _THOUSAND, detail=True),
    _brief("binary_bits", "binary\n[kbit]", _THOUSAND),
    Column("memory_saving", "saving", read=ratio),
    _brief("bitwise_ops", "bitwise\n[M]", _MILLION, detail=True),
    _brief("multiplications", "mults\n[M]", _MILLION, detail=True),
    _brief("comparisons", "comp.\n[M]", _MILLION, detail=True),
    _brief("flops", "Flops\n[M]", _MILLION),
    Column("speedup", "speed\nup", read=ratio),
)
"""What fits 120 columns, and 80 without details, in units and four digits; COLUMNS has every figure whole."""

_FIGURES = (
    "binary_weights", "real_parameters", "real_bits", "binary_bits", "bits", "level_index_bits", "float_bits",
    "memory_saving", "macs",
    "real_macs", "bit_operations", "bitwise_ops", "multiplications", "comparisons", "flops", "float_flops", "speedup",
)  # fmt: skip

DEFINITIONS = (
    "weights: real or binary, without biases. bits: 32 for a real parameter (a batch norm has 2 a channel); "
    "binary bits by the storage. MACs: multiply-accumulates, real or binary.",
    "bitwise ops: M*N*MACs/64; an AND (or XNOR) and its popcount of one bit are one bit operation, 64 of them "
    "one bitwise op. mults: real multiplications of binary layers' outputs.",
    "Flops = real MACs + bitwise ops + mults + comparisons. saving and speedup: against the same network in "
    "full precision (32 bits a parameter, Flops = MACs).",
)


def figures(cost: Cost) -> dict[str, Any]:
    """Every figure of a cost by name."""
    return {name: exact(getattr(cost, name)) for name in _FIGURES}


def as_data(counted: NetworkCost, source: str) -> dict[str, Any]:
    """The whole report as plain data for JSON. source: what was counted, e.g. the file's name."""
    network, how = counted.network, counting(counted.network, counted.rule)
    return {
        "source": source,
        "batch": network.batch,
        **_scheme(network),
        "rule": {"name": how.name.removeprefix("rule "), "meaning": how.meaning},
        "storage": {"name": counted.storage.name, "meaning": counted.storage.meaning},
        "layers": [{**_row(item), **figures(item.cost), **_extra(item.layer)} for item in counted.layers],
        "totals": {"weights": sum(item.layer.weights for item in counted.layers), **figures(counted.totals)},
        "converted": _converted(counted.totals),
        "not_counted": {
            "ops": network.uncounted_ops,
            "parameters": [vars(held) for held in network.uncounted_parameters],
            "products": [vars(product) for product in network.uncounted_products],
        },
        "remarks": list(network.remarks),
        "provenance": _provenance(counted),
    }


def as_brief_table(counted: NetworkCost, source: str) -> Table:
    """The report for a terminal: rounded figures, all batch norms in one row."""
    return replace(as_table(counted, source), columns=BRIEF_COLUMNS, narrow=True)


def as_table(counted: NetworkCost, source: str) -> Table:
    """The report as a person reads it: whole figures, all batch norms in one row."""
    norms = [item for item in counted.layers if item.layer.kind == BATCH_NORM]
    rows = [_row(item) for item in counted.layers if item.layer.kind != BATCH_NORM]
    if norms:
        channels = sum(item.layer.weight_shape[0] for item in norms)
        together = _shown(sum((item.cost for item in norms), Cost()))
        rows.append({"name": f"{len(norms)} batch norms", "kind": BATCH_NORM, "weight_shape": channels, **together})
    rows.append(_total(counted))
    definitions = (*_accounting(counted), *DEFINITIONS)
    return Table(
        f"Cost of {source}", COLUMNS, rows, totals=1, notes=_summary(counted), definitions=definitions,
        line=_line(counted),
    )  # fmt: skip


def as_csv_table(counted: NetworkCost, source: str) -> Table:
    """The report for a program.

    It has a row per batch norm too, rows of kind "not counted" for what the total (last) leaves out, and the rules that
    made the figures in a last column.
    """
    origin = f"counted; {counting(counted.network, counted.rule)}; storage {counted.storage.name}"
    rows = [{**_row(item), "provenance": origin} for item in counted.layers]
    rows += _not_counted(counted.network)
    rows.append({**_total(counted), "provenance": origin})
    return Table(source, (*COLUMNS, *_CSV_COLUMNS), rows, totals=1)


def _not_counted(network: Network) -> list[dict[str, Any]]:
    """A row for each type of op, and one for each tensor of parameters that such an op holds."""
    same = {"kind": "not counted", "provenance": "not counted"}
    ops = [{"name": op, "nodes": number, **same} for op, number in network.uncounted_ops.items()]
    held = [
        {"name": f"{held.op} {held.node}: {held.tensor}", "held_parameters": held.count, **same}
        for held in network.uncounted_parameters
    ]
    return [*ops, *held]


def _total(counted: NetworkCost) -> dict[str, Any]:
    return {"name": "total", "weights": sum(item.layer.weights for item in counted.layers), **_shown(counted.totals)}


def _row(item: LayerCost) -> dict[str, Any]:
    layer = item.layer
    return {
        "name": layer.name,
        "kind": f"{layer.kind} {layer.planes}" if layer.planes else layer.kind,
        "weight_shape": "x".join(map(str, layer.weight_shape)),
        "output_shape": "x".join(map(str, layer.output_shape[1:])),
        "weights": layer.weights,
        **_shown(item.cost),
    }


def _shown(cost: Cost) -> dict[str, Any]:
    return {c.key: getattr(cost, c.key) for c in COLUMNS if hasattr(cost, c.key)}


def _extra(layer: Layer) -> dict[str, Any]:
    return {
        "group": layer.group,
        "shortcut": layer.shortcut,
        "M": layer.planes.M if layer.planes else None,
        "N": layer.planes.N if layer.planes else None,
        "scheme": layer.planes.scheme if layer.planes else "float",
    }


def _scheme(network: Network) -> dict[str, Any]:
    """The scheme of the network's binary layers with M and N (None for full), "mixed" where they differ."""
    planes = network.planes
    if not planes:
        return {"scheme": "float", "M": None, "N": None}
    if len(planes) > 1:
        return {"scheme": "mixed", "M": None, "N": None}
    return {"scheme": planes[0].scheme, "M": planes[0].M, "N": planes[0].N}


def _converted(totals: Cost) -> dict[str, Any]:
    """Which part of MACs and of parameters is binary (None without any), and bytes as level indexes and in float."""
    return {
        "macs": (totals.macs - totals.real_macs) / totals.macs if totals.macs else None,
        "parameters": totals.binary_weights / totals.parameters if totals.parameters else None,
        "bytes": totals.level_index_bits // 8,
        "float_bytes": totals.float_bits // 8,
    }


def _line(counted: NetworkCost) -> str:
    """Memory and Flops beside those in full precision."""
    totals = counted.totals
    parts = []
    if totals.bits:
        size, real = f"{totals.bits / 1e6:.2f} Mbit", f"{totals.float_bits / 1e6:.2f} Mbit"
        parts.append(f"memory {size} of {real} in full precision ({ratio(totals.memory_saving)})")
    if totals.flops:
        parts.append(f"Flops {grouped(totals.flops)} of {totals.float_flops:,} ({ratio(totals.speedup)})")
    return ", ".join(parts) or "nothing to count"


def _summary(counted: NetworkCost) -> list[str]:
    network, totals = counted.network, counted.totals
    lines = []
    if totals.bits:
        lines.append(
            f"memory {totals.bits / 1e6:.2f} Mbit of {totals.float_bits / 1e6:.2f} Mbit in full precision "
            f"({ratio(totals.memory_saving)}): {totals.real_parameters:,} real parameters, "
            f"{totals.binary_weights:,} binary weights"
        )
    if totals.binary_weights:
        share = _converted(totals)
        macs = "" if share["macs"] is None else f"{100 * share['macs']:.1f} % of MACs, "
        lines.append(
            f"converted: {macs}{100 * share['parameters']:.1f} % of parameters; "
            f"{with_unit(share['bytes'], 'B')} packed, {with_unit(share['float_bytes'], 'B')} in float"
        )
    if counted.storage.name == "planes" and any(p.scheme == "pa" for p in network.planes):
        lines.append(
            f"an optimized pa.onnx stores level indexes: {totals.level_index_bits / 1e6:.2f} Mbit "
            "(--storage level-index); the M planes above are the paper's accounting"
        )
    if totals.flops:
        lines.append(
            f"Flops {grouped(totals.flops)} of {totals.float_flops:,} in full precision ({ratio(totals.speedup)}), "
            f"for a batch of {network.batch}"
        )
    ops = ", ".join(f"{op} {number}" for op, number in network.uncounted_ops.items())
    lines.append(f"not counted (nodes): {ops or 'none'}")
    for held in network.uncounted_parameters:
        lines.append(f"not counted: {held.count:,} parameters {held.tensor} of {held.op} {held.node}")
    lines += [f"not counted, though it multiplies: {product}" for product in network.uncounted_products]
    lines += [f"remark: {remark}" for remark in network.remarks]
    if network.inferred:
        lines.append(f"provenance: {network.inferred}")
    lines.append(
        f"counted by {counting(network, counted.rule).name}, storage {counted.storage.name}; nothing is measured"
    )
    return lines


def _accounting(counted: NetworkCost) -> list[str]:
    """The rules that made the figures, in words."""
    return [
        f"{counting(counted.network, counted.rule)}. storage {counted.storage.name}: {counted.storage.meaning}",
        "provenance: shapes, weights and MACs are counted from the model; that 64 bit operations are one is the "
        f"paper's convention; binary bits are {counted.storage.provenance}; mults and comparisons are "
        f"{counting(counted.network, counted.rule).provenance}; nothing is measured",
    ]


def _provenance(counted: NetworkCost) -> dict[str, str]:
    """Figure -> where it comes from."""
    parameters = counted.network.inferred or "counted from the model"
    real = f"{parameters}; 32 bits a parameter, as in the paper"
    elementwise = counting(counted.network, counted.rule).provenance
    words = "counted from shapes; 64 bit operations are one, as in the paper"
    shapes = ("weights", "binary_weights", "output_shape", "macs", "real_macs", "bit_operations", "float_flops")
    return {
        "kind": "the model",
        "weight_shape": "the model",
        **dict.fromkeys(shapes, "counted from the model's shapes"),
        "real_parameters": parameters,
        "real_bits": real,
        "float_bits": real,
        "level_index_bits": STORAGES["level-index"].provenance,
        **dict.fromkeys(("binary_bits", "bits", "memory_saving"), counted.storage.provenance),
        "bitwise_ops": words,
        **dict.fromkeys(("multiplications", "comparisons", "flops", "speedup"), elementwise),
    }

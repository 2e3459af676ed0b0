"""The report of `paconv cost --host`: each layer's predicted latency on every kernel, and which would win."""

from __future__ import annotations

from typing import Any

from paconv.cost.host.kernels import KERNELS, fastest_seconds, has_planes, network_seconds, own_kernel
from paconv.cost.host.model import HostModel
from paconv.cost.host.speed import speed_of
from paconv.cost.schemes import under_scheme
from paconv.cost.units import duration, time_unit
from paconv.measure.machine import integer_instructions
from paconv.network.layers import BATCH_NORM, Layer, Network
from paconv.reporting.tables import Column, Table, grouped, ratio

__all__ = ["NETWORK", "PREDICTED", "host_data", "host_notes", "host_rates", "host_table"]

PREDICTED = "predicted (from rates measured on this host)"

NETWORK = (
    "predicted is the sum of single nodes with float tensors in NCHW on both sides (paconv optimize --canonical), not "
    "of linked ones with level indexes between them"
)
"""What the prediction of a whole network is of."""


def _row(host: HostModel, layer: Layer) -> dict[str, Any]:
    times = {kernel.name: kernel.predict(host, layer) for kernel in KERNELS}
    known = {name: time for name, time in times.items() if time is not None}
    return {
        "name": layer.name,
        "kind": f"{layer.kind} {layer.planes}" if layer.planes else layer.kind,
        "output_shape": "x".join(map(str, layer.output_shape[1:])),
        "macs": layer.macs,
        **times,
        "runs_on": own_kernel(host, layer).name,
        "fastest": min(known, key=lambda name: known[name]) if known else None,
    }


def _totals(host: HostModel, network: Network) -> dict[str, float]:
    return {
        "float": network_seconds(host, under_scheme(network, "float"))[0],
        "as_it_is": network_seconds(host, network)[0],
        "fastest": fastest_seconds(host, network),
    }


def host_data(host: HostModel, network: Network, source: str) -> dict[str, Any]:
    """The report as plain data.

    layers: seconds by kernel, None where it can't run the layer
    totals: seconds of the network in full precision, as it is, and with the fastest kernel per layer
    speed: the network beside float, and the layers that are slower (paconv.cost.host.speed)
    """
    rows = [_row(host, layer) for layer in network if layer.kind != BATCH_NORM]
    return {
        "source": source,
        "batch": network.batch,
        "host": {**host.identity, "integer_instructions": integer_instructions()},
        "rates": host_rates(host),
        "layers": rows,
        "totals": _totals(host, network),
        "speed": speed_of(host, network).as_data(),
        "not_predicted": network_seconds(host, network)[1],
        "provenance": {
            "layers": f"seconds, {PREDICTED}; macs and output_shape: counted from shapes",
            "totals": f"seconds, {PREDICTED}; {NETWORK}",
            "rates": "a second, measured on this host and fitted",
        },
    }


def host_rates(host: HostModel) -> dict[str, Any]:
    """What the kernels reach on this host, a second."""

    def reciprocal(rate: float) -> float | None:
        return 1 / rate if rate else None

    return {
        "float_macs": reciprocal(host.real["mac_window"]),
        "bit_operations": {f"{M}x{N}": reciprocal(host.bit_seconds(M, N)) for M, N in sorted(host.planes)},
        "code_macs": reciprocal(host.codes["product"]),
        "int8_macs": reciprocal(host.integer_mac),
        "elements_moved": reciprocal(host.element),
        "fit_errors": dict(host.fit_errors),
    }


def host_table(host: HostModel, network: Network, source: str) -> Table:
    """A row per layer. Total: float is the network in full precision, "as it is" has each layer on its own kernel."""
    totals = _totals(host, network)
    unit, read = time_unit(max(totals["float"], totals["as_it_is"]))
    columns = [
        Column("name", "layer", left=True, folds=True),
        Column("kind", "kind", left=True),
        Column("output_shape", "output", left=True, detail=True),
        Column("macs", "MACs", read=grouped, detail=True),
        *(Column(k.name, f"{k.title}\n[{unit}]", PREDICTED, read, csv_key=f"{k.name}_predicted_s") for k in KERNELS),
        Column("fastest", "wins", PREDICTED, csv_key="fastest_predicted"),
        Column("as_it_is", f"as it is\n[{unit}]", PREDICTED, read, csv_key="as_it_is_predicted_s"),
        Column("against_float", "vs float", PREDICTED, ratio, csv_key="against_float_predicted"),
    ]
    rows = [_row(host, layer) for layer in network if layer.kind != BATCH_NORM]
    for row in rows:
        own, real = row[row["runs_on"]], row["float"]
        row["as_it_is"] = own
        row["against_float"] = real / own if own and real else None
    total: dict[str, Any] = {"name": "total", "macs": sum(row["macs"] for row in rows), "float": totals["float"],
                             "as_it_is": totals["as_it_is"]}  # fmt: skip
    if any(map(has_planes, network)):
        total["against_float"] = totals["float"] / totals["as_it_is"]
    title = f"Latency of {source} on {host.identity['cpu']}, threads {host.threads}: predicted, not measured"
    notes = host_notes(host, network)
    return Table(title, columns, [*rows, total], totals=1, notes=notes, definitions=_definitions(host, network),
                 narrow=True, line=notes[0])  # fmt: skip


def host_notes(host: HostModel, network: Network) -> list[str]:
    """How fast the network is, and what that leaves out."""
    lines = [
        *speed_of(host, network).lines(),
        f"{duration(fastest_seconds(host, network))} with the fastest kernel for each layer, float or not",
    ]
    if not any(map(has_planes, network)):
        lines.append("no layer has bit planes: --scheme pa:4,5 predicts what they would take")
    missing = network_seconds(host, network)[1]
    if missing:
        lines.append(f"not predicted, and not in the totals: {', '.join(missing)}")
    return lines


def _definitions(host: HostModel, network: Network) -> list[str]:
    """What the columns mean, and the rates behind them."""
    rates = host_rates(host)
    lines = []
    if any(map(has_planes, network)):
        lines.append(
            "as it is: bit planes or level codes, whichever is faster, and real layers on float; codes are taken to be "
            "exact enough for each layer's levels (paconv inspect names the layers where they are not). vs float: full "
            f"precision's time over that. total: {NETWORK}. Pooling and additions are in it by the data "
            "they move; those that onnxruntime fuses into float convolutions are not in the float total"
        )
    used = {f"{planes.M}x{planes.N}" for planes in network.planes}
    bits = ", ".join(
        f"{rate / 1e9:,.0f}e9 at {planes}"
        for planes, rate in rates["bit_operations"].items()
        if rate and planes in used
    )
    reached = [("AND+popcount bit operations", bits)]
    reached += [
        (name, f"{rates[key] / 1e9:,.0f}e9")
        for name, key in (("float MACs", "float_macs"), ("level-code MACs", "code_macs"),
                          ("8-bit integer MACs", "int8_macs"), ("elements to or from memory", "elements_moved"))
        if rates[key]
    ]  # fmt: skip
    lines.append("rates per second, measured: " + "; ".join(f"{name} {value}" for name, value in reached if value))
    instructions = ", ".join(integer_instructions()) or "none known"
    lines.append(
        f"8-bit integers are onnxruntime's QLinearConv (dot-product instructions: {instructions}), not a kernel of "
        "paconv's"
    )
    errors = ", ".join(f"{name.replace('_', ' ')} {error:.1%}" for name, error in host.fit_errors.items())
    lines.append(
        f"provenance: MACs are counted; every latency is {PREDICTED}; median error of the fit on its own "
        f"measurements: {errors}; --measure shows the error on this network"
    )
    return lines

"""Predicted against measured: every layer alone as a model of one node, and the whole network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from paconv.cost.host.calibrate import Measure
from paconv.cost.host.kernels import FLOAT, KERNELS, HostKernel, network_seconds
from paconv.cost.host.model import HostModel
from paconv.cost.host.report import NETWORK, PREDICTED, host_rates
from paconv.cost.host.speed import Speed, speed_of
from paconv.cost.units import duration, time_unit
from paconv.network.layers import Layer, Network
from paconv.reporting.tables import Column, Table

__all__ = ["Comparison", "Measured", "compare", "comparison_data", "comparison_table"]

_SECONDS = 15.0
_NETWORK_SECONDS = 8.0


@dataclass(frozen=True)
class Measured:
    """A time of a layer on a kernel, or of the network."""

    predicted: float
    """Seconds."""
    measured: float
    """Seconds."""

    @property
    def error(self) -> float:
        """predicted / measured - 1."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True)
class Comparison:
    """Predicted beside measured times."""

    layers: Sequence[tuple[Layer, Mapping[str, Measured]]]
    """(layer, kernel name -> times)."""
    network: Measured | None
    """The whole model's times; None if it can't be run as it is."""
    speed: Speed
    """The predicted time of the network beside float's."""

    def median_error(self, kernel: str) -> float | None:
        """Median over the layers of |error|, None if the kernel runs none."""
        errors = [abs(times[kernel].error) for _, times in self.layers if kernel in times]
        return median(errors) if errors else None


def compare(
    host: HostModel,
    network: Network,
    measure: Measure,
    whole: Callable[[float], float] | None = None,
) -> Comparison:
    """Measure every layer on every kernel that is predicted for it, equal layers once.

    measure: (probes, seconds to spend) -> best seconds of each; whole: the same of the whole network, None where the
    model can't be run as it is.
    """
    cases: dict[tuple[str, Layer], tuple[HostKernel, Layer]] = {}
    for layer in network:
        for kernel in KERNELS:
            if kernel.predict(host, layer) is not None:
                cases.setdefault((kernel.name, _geometry(layer, kernel)), (kernel, layer))
    times = measure([kernel.probe(layer) for kernel, layer in cases.values()], _SECONDS)
    found = dict(zip(cases, times, strict=True))
    layers = []
    for layer in network:
        row = {}
        for kernel in KERNELS:
            predicted = kernel.predict(host, layer)
            if predicted is not None:
                row[kernel.name] = Measured(predicted, found[kernel.name, _geometry(layer, kernel)])
        if row:
            layers.append((layer, row))
    total = None if whole is None else Measured(network_seconds(host, network)[0], whole(_NETWORK_SECONDS))
    return Comparison(layers, total, speed_of(host, network))


def _geometry(layer: Layer, kernel: HostKernel) -> Layer:
    """Equal for layers that take the same time on the kernel."""
    planes = None if kernel is FLOAT else layer.planes
    return replace(layer, name="", input_id="", bias=0, shares_weights=False, shortcut=False, planes=planes)


def comparison_data(host: HostModel, compared: Comparison, source: str) -> dict[str, Any]:
    """The comparison as plain data, in seconds; errors are predicted / measured - 1."""
    return {
        "source": source,
        "host": dict(host.identity),
        "rates": host_rates(host),
        "layers": [
            {"name": layer.name, **{kernel: _data(times) for kernel, times in row.items()}}
            for layer, row in compared.layers
        ],
        "median_errors": {k.name: compared.median_error(k.name) for k in KERNELS},
        "network": None if compared.network is None else _data(compared.network),
        "speed": compared.speed.as_data(),
        "provenance": {"predicted": f"seconds, {PREDICTED}", "measured": "seconds, best of many calls on this host"},
    }


def comparison_table(host: HostModel, compared: Comparison, source: str) -> Table:
    unit, read = time_unit(max(compared.speed.seconds, compared.speed.float_seconds))
    columns = [Column("name", "layer", left=True, folds=True), Column("output_shape", "output", left=True)]
    for kernel in KERNELS:
        if any(kernel.name in row for _, row in compared.layers):
            columns += [
                Column(f"{kernel.name}_predicted", f"{kernel.title} [{unit}]\npredicted", PREDICTED, read,
                       csv_key=f"{kernel.name}_predicted_s"),
                Column(f"{kernel.name}_measured", "\nmeasured", "measured", read,
                       csv_key=f"{kernel.name}_measured_s"),
                Column(f"{kernel.name}_error", "\nerror", "", lambda error: f"{error:+.1%}",
                       csv_key=f"{kernel.name}_predicted_error"),
            ]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for layer, row in compared.layers:
        cells: dict[str, Any] = {"name": layer.name, "output_shape": "x".join(map(str, layer.output_shape[1:]))}
        for name, times in row.items():
            cells |= {f"{name}_{field}": getattr(times, field) for field in ("predicted", "measured", "error")}
        rows.append(cells)
    title = f"Predicted and measured latency of {source} on {host.identity['cpu']}, threads {host.threads}"
    return Table(title, columns, rows, notes=_notes(compared), definitions=[_DEFINITION], line=_line(compared))


def _line(compared: Comparison) -> str:
    """The whole network's times, or the speed that is predicted where it wasn't measured."""
    n = compared.network
    if n is None:
        return compared.speed.lines()[0]
    return f"whole network: predicted {duration(n.predicted)}, measured {duration(n.measured)} ({n.error:+.1%})"


def _notes(compared: Comparison) -> list[str]:
    lines = compared.speed.lines()
    for kernel in KERNELS:
        error = compared.median_error(kernel.name)
        if error is not None:
            number = sum(kernel.name in row for _, row in compared.layers)
            lines.append(f"median error of {kernel.title} over {number} layers: {error:.1%}")
    if compared.network is None:
        lines.append("whole network: not measured; give a float model or an optimized pa.onnx, without --scheme")
    else:
        lines.append(f"{_line(compared)}. {NETWORK}")
    return lines


_DEFINITION = (
    "measured: the best of many calls, each layer alone as a model of one node (equal layers once), "
    f"less a call without work; {PREDICTED.replace(' (', ': ').rstrip(')')}"
)


def _data(times: Measured) -> dict[str, float]:
    return {"predicted": times.predicted, "measured": times.measured, "error": times.error}

"""A `paconv bench` result as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paconv.bench.int8_models import Int8Model
from paconv.bench.models import ModelBench
from paconv.bench.per_layer import LayerTime
from paconv.measure.timing import noise_line
from paconv.reporting.tables import Column, Table, grouped

__all__ = ["environment_line", "giga", "layers_table", "milliseconds", "percent", "sessions_table", "times"]


def milliseconds(seconds: float) -> str:
    """0.0123 -> 12.30; three digits at least."""
    ms = 1e3 * seconds
    return f"{ms:.1f}" if ms >= 100 else f"{ms:.2f}" if ms >= 1 else f"{ms:.3f}"


def giga(rate: float) -> str:
    """In 1e9 a second: three digits."""
    return f"{rate / 1e9:,.0f}" if rate >= 1e11 else f"{rate / 1e9:.1f}"


def percent(share: float) -> str:
    return f"{share:.0%}"


def times(value: float) -> str:
    """A ratio: 2.345 -> 2.35x."""
    return f"{value:.2f}x"


def environment_line(environment: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    load = "" if environment["load"] is None else f", load {environment['load']}"
    return (
        f"{environment['cpu']}, {environment['cores']} cores, kernels for {environment['level']}{load}; {versions}; "
        f"{environment['date']}"
    )


def sessions_table(result: ModelBench) -> Table:
    """A row for each model and thread count."""
    files = list(dict.fromkeys(s.file for s in result.sessions))
    names = {file: Path(file).name for file in files}
    if len(set(names.values())) < len(files):
        names = {file: file for file in files}
    first = names[files[0]]
    columns = [
        Column("model", "model", left=True),
        Column("threads", "threads"),
        Column("size", "bytes", read=grouped),
        Column("calls", "calls", read=grouped),
        Column("best", "best\n[ms]", read=milliseconds, csv_key="best_s"),
        Column("median", "median\n[ms]", read=milliseconds, csv_key="median_s"),
        Column("ratio", f"{first} is\ntimes as fast", read=times),
    ]
    integers = {names[s.file]: s.int8 for s in result.sessions if s.int8 is not None}
    if integers:
        columns += [Column("form", "8-bit form", left=True), Column("error", "its largest\nerror")]
    rows = [
        {
            "model": names[s.file], "threads": s.threads, "size": s.size, "calls": s.timing.calls,
            "best": s.timing.best, "median": s.timing.median,
            "ratio": None if s.file == files[0] else result.against(s),
            "form": s.int8 and s.int8.name, "error": s.int8 and s.int8.error,
        }
        for s in result.sessions
    ]  # fmt: skip
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in result.options["inputs"].items())
    notes = [
        "all sessions take turns; ratios are of the best calls; threads don't spin between calls",
        *_int8_notes(result, integers),
        noise_line(s.timing for s in result.sessions),
        environment_line(result.environment),
    ]
    return Table(f"{first}, input {shapes}, kernel {result.options['kernel']}", columns, rows, notes=notes)


def _int8_notes(result: ModelBench, integers: Mapping[str, Int8Model]) -> list[str]:
    """integers: name -> an 8-bit model."""
    if result.advice is None:
        return []
    notes = list(result.advice.lines)
    if any(model.error is not None for model in integers.values()):
        notes.append("largest error: of an output against the first float model's, and its share of the largest output")
    notes += [
        f"{name} saturates on this CPU: its outputs are not what its integers say; --int8 times a form that doesn't"
        for name, model in integers.items()
        if model.saturates
    ]
    notes += [
        f"{name} in U8S8 with weights of 8 bits, which saturates: largest error {model.u8s8_error}"
        for name, model in integers.items()
        if model.u8s8_error is not None
    ]
    return notes


def layers_table(result: ModelBench) -> Table:
    """A row for each PABitConv and thread count."""
    columns = [
        Column("layer", "layer", left=True),
        Column("shape", "weights", left=True),
        Column("output", "output", left=True),
        Column("planes", "M, N", left=True),
        Column("kernel", "kernel", left=True),
        Column("reason", "why", left=True),
        Column("threads", "threads"),
        Column("best", "best\n[ms]", read=milliseconds, csv_key="best_s"),
        Column("median", "median\n[ms]", read=milliseconds, csv_key="median_s"),
        Column("macs", "GMAC/s", read=giga, csv_key="macs_per_second"),
        Column("bits", "1e9 bit\noperations/s", read=giga, csv_key="bit_operations_per_second"),
        Column("peak", "peak\n[GMAC/s]", read=_or_dash(giga), csv_key="limit_macs_per_second"),
        Column("share", "of the\nlimit", read=_or_dash(percent), csv_key="share_of_limit"),
    ]
    rows = [_row(layer) for layer in result.layers]
    total = _totals(result.layers)
    notes = [
        "each PABitConv alone as a model of one node, quantization and packing included; bit operations: M N for a "
        "multiply-accumulate, whatever the kernel",
        "peak: what the kernel's innermost instructions reach on this machine in registers alone, measured in the "
        "same run; -: not known for this kernel",
    ]
    return Table("each PABitConv alone", columns, [*rows, *total], totals=len(total), notes=notes)


def _or_dash(read: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "-" if value == "-" else read(value)


def _row(layer: LayerTime) -> dict[str, Any]:
    def shape(sizes: Sequence[int]) -> str:
        return "x".join(map(str, sizes))

    return {
        "layer": layer.layer.name, "shape": shape(layer.layer.weight_shape), "output": shape(layer.layer.output_shape),
        "planes": f"{layer.planes[0]}, {layer.planes[1]}",
        "kernel": f"{layer.kernel}, {layer.coding}" if layer.coding else layer.kernel,
        "reason": layer.reason, "threads": layer.threads, "best": layer.timing.best, "median": layer.timing.median,
        "macs": layer.macs_per_second, "bits": layer.bit_operations_per_second,
        "peak": "-" if layer.peak is None else layer.peak, "share": "-" if layer.share is None else layer.share,
    }  # fmt: skip


def _totals(layers: Sequence[LayerTime]) -> list[dict[str, Any]]:
    rows = []
    for threads in dict.fromkeys(layer.threads for layer in layers):
        own = [layer for layer in layers if layer.threads == threads]
        best = sum(layer.timing.best for layer in own)
        rows.append({
            "layer": "sum", "threads": threads, "best": best, "median": sum(layer.timing.median for layer in own),
            "macs": sum(layer.layer.macs for layer in own) / best,
        })  # fmt: skip
    return rows

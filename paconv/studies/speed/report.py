"""A comparison as a folder: README.md for a person, speed.png, comparison.json with every number.

The text is made from the result alone, with no path or name of the machine in it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paconv.bench.peaks import layer_peak
from paconv.bench.tables import giga, milliseconds, percent, times
from paconv.errors import PaconvError
from paconv.extras import check_matplotlib
from paconv.files import make_folder, write_text
from paconv.measure.timing import noise_line, ratio
from paconv.reporting.tables import Column, Table, markdown, to_json
from paconv.studies.speed.comparison import Comparison
from paconv.studies.speed.goals import goals
from paconv.studies.speed.measured import FLOAT, INT8, LARQ, PA, Measured, find
from paconv.studies.speed.plot import plot_comparison

__all__ = ["DATA", "PICTURE", "REPORT", "check_report", "report_text", "write_report"]

REPORT, PICTURE, DATA = "README.md", "speed.png", "comparison.json"

_NAMES = {FLOAT: "float", INT8: "int8", LARQ: "Larq, binary"}
_ERROR = "int8's largest error"
_KERNEL_NAMES = {"auto": "", "stock": ", stock onnxruntime"}


def check_report(folder: str | os.PathLike) -> None:
    """Raise what write_report would raise, before the time is spent: a folder that can't be made, no matplotlib."""
    check_matplotlib("the report")
    folder = Path(folder)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryDirectory(dir=there).cleanup()
    except OSError as error:
        raise PaconvError(f"cannot make the folder {folder}: {there} is no folder that can be written to") from error


def write_report(run: Comparison, folder: str | os.PathLike) -> None:
    """Write the three files to `folder`, which is made; each replaces an older one as a whole.

    Raises PaconvError if that can't be done, UsageError without matplotlib.
    """
    folder = make_folder(folder)
    plot_comparison(run, folder / PICTURE)
    write_text(folder / DATA, to_json(run.as_data() | {"targets": [row.as_data() for row in goals(run)]}))
    write_text(folder / REPORT, report_text(run))


def report_text(run: Comparison) -> str:
    """The Markdown."""
    parts = [
        "# Speed, size and memory, measured",
        f"Made by `paconv bench-report` on {run.environment['date'][:10]}. Every figure is computed from one run; "
        f"[{DATA}]({DATA}) has the raw ones.",
        "## What it was measured on",
        "\n".join(f"- {line}" for line in _environment(run)),
        "## Targets",
        markdown(_targets_table(run)).rstrip(),
    ]
    if run.layers or run.networks:
        parts += [f"![speed of layers and networks against float]({PICTURE})"]
    if run.layers:
        parts += ["## Single layers", *(markdown(_layers_table(run, n)).rstrip() for n in run.threads)]
        parts += [markdown(_kernels_table(run)).rstrip()]
    if run.networks:
        parts += ["## Whole networks", *(markdown(_networks_table(run, n)).rstrip() for n in run.threads)]
    if run.builds:
        parts += ["## Files and memory", markdown(_builds_table(run)).rstrip()]
    if run.served:
        parts += [markdown(_served_table(run)).rstrip()]
    return "\n\n".join([*parts, "## How", "\n".join(f"- {line}" for line in _method(run))]) + "\n"


def _environment(run: Comparison) -> list[str]:
    e = run.environment
    memory = "" if e["memory_bytes"] is None else f", {e['memory_bytes'] / 2**30:.0f} GiB"
    variables = ", ".join(f"{name}={value}" for name, value in e["variables"].items())
    larq = run.larq if isinstance(run.larq, str) else ", ".join(f"{n} {v}" for n, v in run.larq.items())
    lines = [
        f"CPU: {e['cpu']}, {e['cores']} cores{memory}; instructions: {', '.join(e['instructions']) or 'not known'}",
        f"system: {e['system']}; load at the start: {'not known' if e['load'] is None else e['load']}",
        ", ".join(f"{name} {version}" for name, version in e["versions"].items()),
        f"kernels: for {e['level']}, fingerprint {e['kernels']}" + (f"; {variables}" if variables else ""),
        f"threads: {', '.join(map(str, run.threads))}; batch 1",
        f"Larq Compute Engine: {larq}",
        *run.int8.lines,
    ]
    if run.layers or run.networks:
        lines.append(noise_line(m.timing for m in (*run.layers, *run.networks)))
    single = run.peaks.single.get("planes")
    if single is not None:
        lines.append(f"AND+POPCNT+ADD in registers, one thread: {single / 1e9:,.0f}e9 bit pairs per second")
    return lines


def _targets_table(run: Comparison) -> Table:
    columns = [
        Column("what", "what", left=True),
        Column("target", "target", left=True),
        Column("measured", "measured", left=True),
        Column("verdict", "verdict", left=True),
        Column("limits", "what limits it", left=True),
    ]
    rows = [{**vars(row), "verdict": row.verdict} for row in goals(run)]
    return Table("Measured beside what was aimed at", columns, rows, notes=[
        f"threads: {run.threads[0]}, unless the row says otherwise; the worst layer and (M,N) of a row counts",
    ])  # fmt: skip


def _pairs(measured: Iterable[Measured]) -> list[tuple[tuple[int, int], str]]:
    """(planes, levels), each once."""
    return list(dict.fromkeys((m.planes, m.levels) for m in measured if m.planes is not None))


def _planes_name(planes: tuple[int, int] | None, levels: str) -> str:
    assert planes is not None  # PA has them
    return f"({planes[0]},{planes[1]})" + (" +-1" if levels else "")


def _form_name(m: Measured | None) -> str:
    assert m is not None
    if m.what == PA:
        return f"PA{_planes_name(m.planes, m.levels)}{_KERNEL_NAMES.get(m.kernel, '')}"
    return f"{_NAMES[m.what]}, {m.form}" if m.form else _NAMES[m.what]


def _layers_table(run: Comparison, threads: int) -> Table:
    """GMAC/s of every layer, PABitConv on the kernel that a session chooses."""
    found = [m for m in run.layers if m.threads == threads]
    whats = [what for what in (FLOAT, INT8, LARQ) if any(m.what == what for m in found)]
    columns = [Column("layer", "layer", left=True)]
    columns += [Column(what, _form_name(find(found, what=what)), read=giga) for what in whats]
    if INT8 in whats:
        columns.insert(2 + whats.index(INT8), Column("error", _ERROR))
    columns += [Column(_planes_name(*p), f"PA{_planes_name(*p)}", read=str) for p in _pairs(found)]
    rows = []
    for subject in dict.fromkeys(m.subject for m in found):
        own = [m for m in found if m.subject == subject]
        row: dict[str, Any] = {"layer": subject}
        row |= {m.what: m.macs_per_second for m in own if m.what != PA}
        row["error"] = next((m.error for m in own if m.what == INT8), None)
        row |= {
            _planes_name(m.planes, m.levels): f"{giga(m.macs_per_second)} {m.kernel}"
            for m in own
            if m.planes is not None and m.chosen
        }
        rows.append(row)
    title = f"GMAC/s, {threads} thread{'s' if threads > 1 else ''}"
    return Table(title, columns, rows, notes=[
        "PA: quantization and packing included, on the kernel that the session chooses by itself; int8: QLinearConv, "
        "its input quantized already; +-1: levels -1 and +1 on both sides",
        *_int8_notes(found),
    ])  # fmt: skip


def _int8_notes(found: Iterable[Measured]) -> list[str]:
    """What its error is, and by how much U8S8 is off where it saturates."""
    timed = [m for m in found if m.what == INT8]
    notes = ["int8's error: the largest difference of an output from float's, and its share of the largest output"]
    saturated = [(m.u8s8_error, m.subject) for m in timed if m.u8s8_error is not None]
    if saturated:
        error, subject = max(saturated, key=lambda found: found[0].relative)
        notes.append(f"U8S8 with weights of 8 bits saturates on this CPU; its largest error is {error}, of {subject}")
    return notes if timed else []


def _kernels_table(run: Comparison) -> Table:
    """Every kernel for every layer and (M, N), on the first thread count."""
    threads = run.threads[0]
    kernels = list(dict.fromkeys(m.kernel for m in run.layers if m.kernel))
    columns = [Column("layer", "layer", left=True), Column("pair", "M, N", left=True)]
    columns += [Column(kernel, f"{kernel} [ms]", read=milliseconds) for kernel in kernels]
    columns += [
        Column("share", "planes, of the peak", read=percent),
        Column("chosen", "chosen", left=True),
        Column("against", "chosen against float", read=times),
    ]
    rows = []
    for subject in dict.fromkeys(m.subject for m in run.layers):
        own = [m for m in run.layers if (m.subject, m.threads) == (subject, threads)]
        real = find(own, what=FLOAT)
        for pair, levels in _pairs(own):
            mine = [m for m in own if (m.planes, m.levels) == (pair, levels)]
            row: dict[str, Any] = {"layer": subject, "pair": _planes_name(pair, levels)}
            row |= {m.kernel: m.timing.best for m in mine}
            planes, chosen = find(mine, kernel="planes"), find(mine, chosen=True)
            peak = layer_peak(run.peaks, "planes", pair, "", threads)
            if planes is not None and peak is not None:
                row["share"] = planes.macs_per_second / peak
            if chosen is not None:
                row["chosen"] = chosen.kernel
                row["against"] = None if real is None else ratio(chosen.timing, real.timing)
            rows.append(row)
    return Table(f"Kernels, {threads} thread{'s' if threads > 1 else ''}", columns, rows)


def _networks_table(run: Comparison, threads: int) -> Table:
    """Every form of every network; float of the same network is 1, ResNet18's for those that have none."""
    found = [m for m in run.networks if m.threads == threads and not m.spinning]
    sizes = {(b.network, b.planes, b.levels): b.size for b in run.builds}
    columns = [
        Column("network", "network", left=True),
        Column("form", "form", left=True),
        Column("best", "best [ms]", read=milliseconds),
        Column("median", "median [ms]", read=milliseconds),
        Column("speed", "speed against float", read=times),
        Column("error", _ERROR),
        Column("size", "file [MB]", read=_megabytes),
        Column("nodes", "its PABitConv alone [ms]", read=milliseconds),
    ]
    rows = []
    for m in found:
        real = find(found, subject=m.subject, what=FLOAT) or find(found, what=FLOAT)
        rows.append({
            "network": m.subject, "form": _form_name(m), "best": m.timing.best, "median": m.timing.median,
            "speed": None if real is None else ratio(m.timing, real.timing), "error": m.error,
            "size": None if m.planes is None else sizes.get((m.subject, m.planes, m.levels)), "nodes": m.nodes_best,
        })  # fmt: skip
    return Table(f"{threads} thread{'s' if threads > 1 else ''}", columns, rows, notes=_int8_notes(found))


def _builds_table(run: Comparison) -> Table:
    columns = [
        Column("network", "network", left=True),
        Column("planes", "M, N", left=True),
        Column("size", "file [MB]", read=_megabytes),
        Column("accounted", "level indexes and real parameters [MB]", read=_megabytes),
        Column("over", "more", read=lambda x: f"{x:+.1%}"),
        Column("optimize", "optimize [s]", read=lambda s: f"{s:.2f}"),
    ]
    rows = [
        {
            "network": b.network, "planes": _planes_name(b.planes, b.levels), "size": b.size, "accounted": b.accounted,
            "over": b.size / b.accounted - 1, "optimize": b.optimize_seconds,
        }
        for b in run.builds
    ]  # fmt: skip
    return Table("pa.onnx", columns, rows, notes=["no time of optimize: recoded from another M, see below"])


def _served_table(run: Comparison) -> Table:
    columns = [
        Column("network", "network", left=True),
        Column("form", "form", left=True),
        Column("create", "opening [s]", read=lambda s: f"{s:.2f}"),
        Column("first", "first call [ms]", read=milliseconds),
        Column("peak", "peak memory [MB]", read=_megabytes),
        Column("own", "of that, before opening [MB]", read=_megabytes),
        Column("ratio", "peak against float", read=times),
    ]
    rows = []
    for s in run.served:
        real = next((o for o in run.served if (o.subject, o.what) == (s.subject, FLOAT)), None)
        form = _NAMES.get(s.what) or f"PA{_planes_name(s.planes, '')}"
        rows.append({
            "network": s.subject, "form": form, "create": s.create_seconds, "first": s.first_run_seconds,
            "peak": s.peak_bytes, "own": s.before_bytes, "ratio": real and s.peak_bytes / real.peak_bytes,
        })  # fmt: skip
    return Table("Serving in a fresh process, one thread", columns, rows)


def _method(run: Comparison) -> list[str]:
    lines = [
        "All forms of a layer or a network, at all thread counts, take turns within one process; the best call of each "
        "counts, medians are in the data. Threads do not spin between calls, or one session would slow the next.",
        "Weights and inputs are random: time and size don't depend on them, errors do. int8: onnxruntime's static QDQ, "
        "a scale for each output channel, symmetric weights, batch norms folded before, in the form that onnxruntime "
        "advises for the CPU.",
        "M even: the network is converted, calibrated and optimized as a trained one would be. M odd: "
        "the packed model of an even M, its levels, endpoints and codes replaced.",
    ]
    if run.single_binary:
        lines.append(
            f"single-binary: {run.single_binary} at (1,1), its levels replaced by -a, +a and -b, +b; Larq's BiRealNet "
            "and QuickNet are larq-zoo's, in its own interpreter, a process that takes its turns with the others."
        )
    if any(m.nodes_best is not None for m in run.networks):
        lines.append(
            "PABitConv alone: the sum over its nodes, each as a model of one node; in the network caches are colder."
        )
    return lines


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.2f}"

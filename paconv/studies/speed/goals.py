"""What was aimed at, beside what was measured: reached, or missed by how much, and what the measurements say limits it.

Every figure is computed from one comparison; a target is a number and the side it has to lie on. Ratios are of the
best calls of sessions that took turns, on the first thread count unless a row says otherwise; where a row covers
several layers or (M, N), the worst of them counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from paconv.bench.peaks import layer_peak
from paconv.measure.features import VNNI
from paconv.measure.timing import ratio
from paconv.studies.speed.comparison import SERVED_PLANES, Comparison
from paconv.studies.speed.layers import WINDOWS
from paconv.studies.speed.measured import FLOAT, INT8, LARQ, PA, SIGNS, Measured, find
from paconv.studies.speed.memory import Served
from paconv.studies.speed.ports import macs_per_cycle

__all__ = ["Row", "cpu_kind", "goals"]

AMX, DOT_PRODUCTS = "amx_int8", (*VNNI, "asimddp")
_LARQ_NETWORK = "BiRealNet"


@dataclass(frozen=True)
class Row:
    """A goal and what was reached of it."""

    what: str
    """What is to reach it."""
    target: str
    """In words."""
    bound: float
    """What the figure should be at least, or, with `at_most`, at most."""
    value: float | None
    """The figure that counts; None if it wasn't measured."""
    measured: str
    """The same for a reader."""
    limits: str = ""
    """What holds it back."""
    at_most: bool = False
    """On which side of `bound` it should lie."""

    @property
    def reached(self) -> bool | None:
        """None where it wasn't measured."""
        if self.value is None:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.reached:
            return "reached"
        off = self.value / self.bound - 1 if self.at_most else 1 - self.value / self.bound
        return f"missed by {off:.0%}" if off >= 0.1 else f"missed by {100 * off:.2g}%"

    def as_data(self) -> dict[str, Any]:
        return asdict(self) | {"reached": self.reached, "verdict": self.verdict}


def goals(run: Comparison) -> list[Row]:
    """A row for each goal."""
    rows = [
        *_kernel(run),
        _layers(run, "PABitConv (1,1) against float Conv, all included", 8.0, [(1, 1)]),
        _layers(run, "the same with levels -1 and +1", 8.0, [(1, 1)], levels=SIGNS),
        _layers(run, "PABitConv (2,2)", 2.0, [(2, 2)]),
        *_many_planes(run),
        *_whole_networks(run),
        *_single_binary(run),
        _two_threads(run),
        _size(run),
        *_resnet50(run),
    ]
    return rows


def _threads(run: Comparison) -> int:
    return run.threads[0]


# Single layers


def _kernel(run: Comparison) -> Iterator[Row]:
    """The inner loop's rate over the peak; beside it the whole node's."""
    for pair, bound in (((1, 1), 0.85), ((2, 2), 0.85), ((3, 3), 0.85), ((4, 5), 0.85), ((8, 7), 0.75)):
        inner, peak = run.peaks.planes.get(pair), layer_peak(run.peaks, "planes", pair, "")
        nodes = list(_on_windows(run, pair, "planes"))
        if inner is None or peak is None:
            value, text = None, "-" if inner is None else f"inner loop {_giga(inner)}"
            why = "the peak can't be measured with this library" if peak is None else ""
        else:
            value, text = inner / peak, f"{inner / peak:.0%} of {_giga(peak)}"
            why = _range("the whole node, quantization to output: ",
                         [m.macs_per_second / peak / m.threads for m in nodes], lambda x: f"{x:.0%}")  # fmt: skip
        ports = macs_per_cycle(run.peaks.cpu, "planes", pair)
        if ports is not None and value is not None and value < bound:
            why += f"; counted from ports {ports:.1f} MAC a cycle"
        yield Row(f"bit-plane kernel {_pair(pair)}, of AND+POPCNT+ADD", f">= {bound:.0%}", bound, value, text, why)


def _layers(
    run: Comparison, what: str, bound: float, planes: Sequence[tuple[int, int]], levels: str = "", kernel: str = "",
    target: str = "", peer: str = FLOAT,
) -> Row:  # fmt: skip
    """The smallest ratio over ResNet18's 3x3 layers, by the chosen kernel unless another is named."""
    found = [
        (ratio(m.timing, other.timing), m, other)
        for pair in planes
        for m in _on_windows(run, pair, kernel, levels)
        if (other := find(run.layers, subject=m.subject, what=peer, threads=m.threads)) is not None
    ]
    target = target or f">= {bound:g}x {peer}"
    if not found:
        return Row(what, target, bound, None, "-", "not in this run")
    worst, m, other = min(found, key=lambda f: f[0])
    where = f"{m.subject}{'' if len(planes) == 1 else ', ' + _pair(m.planes)}"
    text = f"{worst:.2f}x to {max(f[0] for f in found):.2f}x"
    return Row(what, target, bound, worst, text, _why_layer(run, m, other, where))


def _on_windows(run: Comparison, pair: tuple[int, int], kernel: str = "", levels: str = "") -> list[Measured]:
    wanted = {"what": PA, "planes": pair, "levels": levels, "threads": _threads(run)}
    wanted |= {"kernel": kernel} if kernel else {"chosen": True}
    found = (find(run.layers, subject=layer.name, **wanted) for layer in WINDOWS)
    return [m for m in found if m is not None]


def _why_layer(run: Comparison, m: Measured, other: Measured, where: str) -> str:
    """What the node's time goes to, and what its instructions would allow."""
    assert m.planes is not None
    kernel, parts = m.ran[0][0], []
    inner = run.peaks.inner_loop(kernel, m.planes, m.coding)
    if inner is not None:
        alone = m.macs / (inner * m.threads)
        parts.append(
            f"the inner loop takes {min(1.0, alone / m.timing.best):.0%} of the node's time, alone it would be "
            f"{other.timing.best / alone:.2f}x"
        )
    peak = layer_peak(run.peaks, kernel, m.planes, m.coding, m.threads)
    if peak is not None:
        parts.append(f"its instructions allow {peak * other.timing.best / m.macs:.2f}x")
    counts = [macs_per_cycle(run.peaks.cpu, kernel, m.planes, m.coding), macs_per_cycle(run.peaks.cpu, "float")]
    if other.what == FLOAT and None not in counts:
        parts.append(f"counted from ports {counts[0]:.0f} MAC a cycle, float {counts[1]:.0f}")
    if other.error is not None:
        parts.append(_int8_error(other))
    return f"worst: {where} on {kernel}" + (": " + "; ".join(parts) if parts else "")


def _int8_error(m: Measured) -> str:
    return f"int8 is {m.form}, off by {m.error}"


_MANY_PLANES = ((4, 5), (8, 7))
_NETWORKS = ("resnet18", "resnet34", "resnet50")

_LAYER_BOUNDS = {"AMX": ((INT8, 1.0),), "VNNI": ((INT8, 0.9),), "AVX2": ((FLOAT, 2.2), (INT8, 1.2))}
_NETWORK_BOUNDS = {"AMX": ((INT8, 1.0),), "VNNI": ((FLOAT, 3.2), (INT8, 1.0)), "AVX2": ((FLOAT, 2.2), (INT8, 1.2))}
"""Kind of CPU -> what PA with many planes should be how many times as fast as."""


def cpu_kind(run: Comparison) -> str:
    """What its integer instructions make of a CPU: AMX, VNNI (integer dot products) or AVX2 (neither)."""
    instructions = run.environment["instructions"]
    return "AMX" if AMX in instructions else "VNNI" if any(k in instructions for k in DOT_PRODUCTS) else "AVX2"


def _many_planes(run: Comparison) -> Iterator[Row]:
    kind = cpu_kind(run)
    for peer, bound in _LAYER_BOUNDS[kind]:
        yield _layers(
            run, "PABitConv (4,5) and (8,7), whole node", bound, [p for p in _MANY_PLANES if p in _planes(run)],
            peer=peer, target=f">= {bound:g}x {peer} Conv on {kind}",
        )  # fmt: skip


def _planes(run: Comparison) -> list[tuple[int, int]]:
    return list(dict.fromkeys(m.planes for m in run.layers if m.planes is not None))


# Whole networks


def _whole_networks(run: Comparison) -> Iterator[Row]:
    kind = cpu_kind(run)
    for name, pair in product(_NETWORKS, _MANY_PLANES):
        own = _network(run, name, what=PA, planes=pair, levels="", kernel="auto")
        for peer, bound in _NETWORK_BOUNDS[kind] if own is not None or name == _NETWORKS[0] else ():
            target = f">= {bound:g}x {peer} on {kind}"
            yield _ratio_row(run, f"PA-{name} {_pair(pair)}", target, bound, own, _network(run, name, what=peer))


def _single_binary(run: Comparison) -> Iterator[Row]:
    name = run.single_binary
    what = f"single-binary ResNet18 (layout of {name})" if name else "single-binary ResNet18"
    own = _network(run, name, what=PA, levels=SIGNS, kernel="auto")
    yield _ratio_row(run, what, ">= 4x float ResNet18", 4.0, own, _network(run, "resnet18", what=FLOAT))
    row = _ratio_row(run, what, ">= 20x Larq's", 20.0, own, _network(run, _LARQ_NETWORK, what=LARQ))
    if isinstance(run.larq, str):
        row = Row(row.what, row.target, row.bound, None, "-", f"Larq Compute Engine: {run.larq}")
    yield row


def _ratio_row(
    run: Comparison, what: str, target: str, bound: float, own: Measured | None, other: Measured | None
) -> Row:
    if own is None or other is None:
        return Row(what, target, bound, None, "-", "not in this run")
    value = ratio(own.timing, other.timing)
    text = f"{value:.2f}x ({_ms(own.timing.best)}, {_ms(other.timing.best)})"
    why, nodes = "", own.nodes_best
    if nodes is not None:
        rest = max(0.0, own.timing.best - nodes)
        why = f"its PABitConv nodes alone take {_ms(nodes)}, all the rest {_ms(rest)}"
        if rest > 0:
            why += f": {other.timing.best / rest:.2f}x if they took no time"
        why += f"; ran {', '.join(f'{kernel} {count}x' for kernel, count in own.ran)}" if own.ran else ""
    if other.error is not None:
        why += ("; " if why else "") + _int8_error(other)
    return Row(what, target, bound, value, text, why)


def _network(run: Comparison, subject: str, **wanted: Any) -> Measured | None:
    return find(run.networks, subject=subject, threads=_threads(run), **wanted)


def _two_threads(run: Comparison) -> Row:
    what, target, bound = "whole PA networks on two threads", ">= 1.8x one thread", 1.8
    if not {1, 2} <= set(run.threads):
        return Row(what, target, bound, None, "-", "one and two threads are not both in this run")

    def gains(measured: Sequence[Measured], kind: str, spinning: bool) -> list[tuple[float, Measured]]:
        return [
            (ratio(two.timing, one.timing), one)
            for one in measured
            if one.what == kind and one.threads == 1 and one.spinning == spinning
            and (two := find(measured, subject=one.subject, what=kind, planes=one.planes, levels=one.levels,
                             kernel=one.kernel, threads=2, spinning=spinning)) is not None
        ]  # fmt: skip

    own = gains(run.networks, PA, True)
    if not own:
        return Row(what, target, bound, None, "-", "not in this run")
    worst, m = min(own, key=lambda g: g[0])
    # t2 / t1 = s + (1 - s) / 2 for a part s that doesn't divide (Amdahl)
    serial = min(1.0, max(0.0, 2 / worst - 1))
    why = f"worst: {m.subject} {_pair(m.planes)}, as if {serial:.0%} of its time ran on one thread"
    why += _range("; float networks ", [g for g, _ in gains(run.networks, FLOAT, True)], lambda x: f"{x:.2f}x")
    waking = [g for g, one in gains(run.networks, PA, False) if one.kernel == "auto"]
    why += _range("; with threads that sleep between nodes and have to be woken ", waking, lambda x: f"{x:.2f}x")
    return Row(what, target, bound, worst, f"{worst:.2f}x to {max(g for g, _ in own):.2f}x", why)


# Files, time and memory


def _size(run: Comparison) -> Row:
    what, target = "pa.onnx over its level indexes and real parameters", "<= 5 % more"
    trained = [b for b in run.builds if b.optimize_seconds is not None]
    if not trained:
        return Row(what, target, 1.05, None, "-", "not in this run", at_most=True)
    largest = max(trained, key=lambda b: b.size / b.accounted)
    over = largest.size / largest.accounted
    why = f"largest of {len(trained)}: {largest.network} {_pair(largest.planes)}, {largest.size / 1e6:.2f} MB"
    return Row(what, target, 1.05, over, f"{over - 1:.1%} more", why, at_most=True)


def _resnet50(run: Comparison) -> Iterator[Row]:
    seconds = [b.optimize_seconds for b in run.builds if b.network == "resnet50" and b.optimize_seconds is not None]
    value = max(seconds, default=None)
    yield Row("optimize ResNet50", "< 15 s", 15.0, value, "-" if value is None else f"{value:.1f} s",
              "" if seconds else "not in this run", at_most=True)  # fmt: skip
    own, real = (_served(run, "resnet50", what) for what in (PA, FLOAT))
    name = f"PA-ResNet50 {_pair(SERVED_PLANES)}"
    if own is None or real is None:
        yield Row(f"opening {name}", "< 2 s", 2.0, None, "-", "not in this run", at_most=True)
        yield Row(f"peak memory of serving {name}", "< 2x float", 2.0, None, "-", "not in this run", at_most=True)
        return
    yield Row(f"opening {name}", "< 2 s", 2.0, own.create_seconds, f"{own.create_seconds:.2f} s",
              f"in a fresh process; float takes {real.create_seconds:.2f} s", at_most=True)  # fmt: skip
    share = own.peak_bytes / real.peak_bytes
    text = f"{share:.2f}x ({own.peak_bytes / 1e6:.0f} MB, {real.peak_bytes / 1e6:.0f} MB)"
    yield Row(f"peak memory of serving {name}", "< 2x float", 2.0, share, text,
              "of the whole process, Python and onnxruntime included", at_most=True)  # fmt: skip


def _served(run: Comparison, subject: str, what: str) -> Served | None:
    return next((s for s in run.served if (s.subject, s.what) == (subject, what)), None)


# Figures for a person


def _range(label: str, values: Sequence[float], read: Callable[[float], str]) -> str:
    if not values:
        return ""
    low, high = read(min(values)), read(max(values))
    return label + (low if low == high else f"{low} to {high}")


def _pair(planes: tuple[int, int] | None) -> str:
    return "" if planes is None else f"({planes[0]},{planes[1]})"


def _giga(rate: float) -> str:
    return f"{rate / 1e9:,.0f} GMAC/s"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms"

"""A network in all its forms, whole: float, 8-bit and PA at each (M, N), in turns at every thread count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paconv.bench.output_error import OutputError, output_error
from paconv.bench.peaks import HostPeaks
from paconv.bench.per_layer import packed_layers, time_layers
from paconv.bench.sessions import fed_with
from paconv.measure.timing import Timing
from paconv.measure.turns import Feed, Runnable, Timed, take_turns
from paconv.onnx_file.loading import load_model
from paconv.studies.speed.builds import NetworkFiles, timed_image
from paconv.studies.speed.larq import NETWORKS, Larq, LarqRun
from paconv.studies.speed.measured import FLOAT, INT8, LARQ, PA, SIGNS, Measured

__all__ = ["time_network"]

STOCK = "stock"
"""A packed model in onnxruntime without the custom-op library."""

_SCALING_SECONDS = 0.7


@dataclass(frozen=True)
class _Packed:
    name: str
    planes: tuple[int, int]
    levels: str
    path: Path


def time_network(
    files: NetworkFiles,
    threads: Sequence[int],
    seconds: float,
    *,
    single_binary: tuple[str, Path] | None = None,
    larq: Larq | None = None,
    stock: bool = False,
    nodes: bool = False,
    progress: Callable[[float], None] = lambda done: None,
) -> list[Measured]:
    """All forms of a network in turns, with a batch of 1.

    Args:
        files: The network's. threads: Of onnxruntime's pool. seconds: That the turns take, about. single_binary: (name,
        file) of a network to time beside. larq: The engine whose own networks to time too. stock: Time a packed model
        without the library too, on one thread. nodes: Time the PABitConv nodes of each packed model alone as well, for
        a quarter of the time, on the first thread
            count.
        progress: Called with how much of the time is over, 0 to 1.
    """
    image = timed_image(files.input_shape)
    packed = [_Packed(files.name, pair, "", path) for pair, path in files.packed.items()]
    if single_binary is not None:
        packed.append(_Packed(single_binary[0], (1, 1), SIGNS, single_binary[1]))
    feed = fed_with({"input": image}, files.name)

    int8 = {"what": INT8, "form": files.form.name, **_errors(files, feed)}
    cases: list[tuple[Runnable, dict[str, Any]]] = []
    for count in threads:
        common = {"threads": count}
        own = common | {"subject": files.name}
        cases.append((Timed(files.real, count, feed=feed, library=False), own | {"what": FLOAT}))
        cases.append((Timed(files.int8, count, feed=feed, library=False), own | int8))
        for p in packed:
            case: dict[str, Any] = common | {"subject": p.name, "what": PA, "planes": p.planes, "levels": p.levels}
            cases.append((Timed(p.path, count, feed=feed, kernel="auto"), case | {"kernel": "auto"}))
        for name in NETWORKS if larq is not None else ():
            assert larq is not None
            cases.append((LarqRun(larq, larq.network(name, count)), common | {"subject": name, "what": LARQ}))
    if stock and files.packed:
        pair = max(files.packed, key=lambda pair: pair == (4, 5))
        case = {"subject": files.name, "what": PA, "planes": pair, "kernel": STOCK, "threads": 1}
        cases.append((Timed(files.packed[pair], 1, feed=feed, library=False), case))

    share = 0.75 if nodes else 1.0
    calls = take_turns([session for session, _ in cases], share * seconds, lambda done: progress(share * done))
    alone = _alone(packed, image.shape, threads[0], (1 - share) * seconds) if nodes else {}
    found: list[Measured] = []
    for (_, case), times in zip(cases, calls, strict=True):
        key = (case["subject"], case.get("planes"), case.get("levels"))
        extra: dict[str, Any] = {}
        if case.get("kernel") == "auto" and case["threads"] == threads[0] and key in alone:
            extra["nodes_best"], extra["ran"] = alone[key]
        found.append(Measured(timing=Timing.of(times), **case, **extra))
    if nodes and len(threads) > 1:
        found.extend(_scaling(files, packed, threads, feed))
    progress(1.0)
    return found


def _errors(files: NetworkFiles, feed: Feed) -> dict[str, OutputError | None]:
    """The 8-bit forms' against float, as Measured calls them."""
    want = Timed(files.real, 1, feed=feed, library=False).outputs()
    paths = {"error": files.int8, "u8s8_error": files.saturated}
    return {
        name: None if path is None else output_error(want, Timed(path, 1, feed=feed, library=False).outputs())
        for name, path in paths.items()
    }


def _scaling(files: NetworkFiles, packed: Sequence[_Packed], threads: Sequence[int], feed: Feed) -> list[Measured]:
    """The float and the packed networks at each thread count, one session after the other, with threads that spin."""
    forms: list[tuple[Path, dict, dict]] = [(files.real, {"library": False}, {"subject": files.name, "what": FLOAT})]
    for p in packed:
        case: dict[str, Any] = {"subject": p.name, "what": PA, "planes": p.planes, "levels": p.levels, "kernel": "auto"}
        forms.append((p.path, {"kernel": "auto"}, case))
    found = []
    for path, options, case in forms:
        for count in threads:
            (own,) = take_turns([Timed(path, count, feed=feed, spinning=True, **options)], _SCALING_SECONDS)
            found.append(Measured(threads=count, timing=Timing.of(own), spinning=True, **case))
    return found


def _alone(
    packed: Sequence[_Packed], shape: tuple[int, ...], threads: int, seconds: float
) -> dict[tuple[str, tuple[int, int], str], tuple[float, tuple[tuple[str, int], ...]]]:
    """(network, planes, levels) -> the sum of its PABitConv nodes' best seconds, and how many ran each kernel."""
    found = {}
    for p in packed:
        model = load_model(p.path)
        layers = packed_layers(model, {i.name: shape for i in model.graph.input})
        times = time_layers(layers, threads, seconds / len(packed), HostPeaks(""))
        kernels = [t.kernel for t in times]
        ran = tuple((kernel, kernels.count(kernel)) for kernel in dict.fromkeys(kernels))
        found[p.name, p.planes, p.levels] = sum(t.timing.best for t in times), ran
    return found

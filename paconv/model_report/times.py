"""Seconds of layers and networks: predicted by the host model, and measured with onnxruntime's own profile.

    predicted   each layer as a node alone (paconv.cost.host.kernels); the rest is what moves data between layers
    measured    within the network: the fastest of a node's calls. What all nodes take more than the fastest call of
                the network without the profile is the profile's own, and taken off each node in equal parts. Where that
                is much of the whole, a network is too small to be profiled. The rest is the other nodes.

Whole networks are timed in turns, without the profile.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort

from paconv.bench.int8 import quantize
from paconv.bench.int8_form import int8_advice
from paconv.bench.sessions import fed_with
from paconv.cost.host.at_hand import host_at_hand
from paconv.cost.host.kernels import FLOAT, network_seconds, own_kernel, planes_of
from paconv.cost.host.model import HostModel
from paconv.cost.schemes import under_scheme
from paconv.errors import ModelError, UsageError
from paconv.measure.timing import Timing, busy, noise_line
from paconv.measure.turns import Timed, take_turns
from paconv.network.layers import BATCH_NORM, Network
from paconv.runtime.session import ORT_ERRORS, register

__all__ = ["LayerTimes", "Predicted", "Whole", "layer_times", "predicted", "whole_networks"]

_MOST_CALLS = 200
_LEAST_CALLS = 10

_MOST_OWN = 0.3
"""Part of the profiled time that may be the profile's own."""


@dataclass(frozen=True)
class Predicted:
    """What the host model says; times by layer's name, None of what it doesn't know."""

    layers: Mapping[str, float | None]
    real: Mapping[str, float | None]
    """Of the same layers in full precision."""
    total: float | None
    real_total: float | None
    rates: str
    """Whose rates; why there are none where the totals are None."""
    host: HostModel | None

    def rest(self, real: bool = False) -> float | None:
        """Between layers."""
        total, layers = (self.real_total, self.real) if real else (self.total, self.layers)
        return None if total is None else max(0.0, total - sum(t or 0.0 for t in layers.values()))


def predicted(network: Network) -> Predicted:
    """Of a network on this machine, one thread, by the rates that there are."""
    try:
        host, rates = host_at_hand(planes_of(network))
    except UsageError as error:
        return Predicted({}, {}, None, None, f"no prediction: {error}", None)
    layers = [layer for layer in network if layer.kind != BATCH_NORM]
    return Predicted(
        {layer.name: own_kernel(host, layer).predict(host, layer) for layer in layers},
        {layer.name: FLOAT.predict(host, layer) for layer in layers},
        network_seconds(host, network)[0],
        network_seconds(host, under_scheme(network, "float"))[0],
        rates,
        host,
    )


@dataclass(frozen=True)
class Whole:
    """Networks timed in turns."""

    own: Timing
    real: Timing
    int8: Timing | None
    int8_bytes: int | None
    noise: str
    busy: bool


def whole_networks(
    own: Path, real: onnx.ModelProto, feeds: Mapping[str, np.ndarray], seconds: float, int8: bool
) -> Whole:
    """The packed network and the float one, and the latter in onnxruntime's 8-bit form, on one thread.

    Raises ModelError where one doesn't run, or onnxruntime can't quantize it.
    """
    feed = fed_with(feeds, str(own))
    sessions = [Timed(own, 1, feed=feed), Timed(real, 1, feed=feed)]
    size = None
    if int8:
        with TemporaryDirectory() as folder:
            source, output = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            onnx.save(real, source)
            quantize(source, output, [sessions[1].inputs], int8_advice().form)
            size = output.stat().st_size
            sessions.append(Timed(output, 1, feed=feed, library=False))
    timings = [Timing.of(calls) for calls in take_turns(sessions, seconds)]
    return Whole(timings[0], timings[1], timings[2] if int8 else None, size, noise_line(timings), busy(timings))


@dataclass(frozen=True)
class LayerTimes:
    """Seconds within a network."""

    layers: Mapping[str, float]
    """By name; those that the profile doesn't name are missing."""
    rest: float
    """Between layers."""

    @property
    def total(self) -> float:
        return self.rest + sum(self.layers.values())


def layer_times(
    model: onnx.ModelProto | Path,
    feeds: Mapping[str, np.ndarray],
    seconds: float,
    call: float,
    names: Mapping[str, str],
) -> LayerTimes | None:
    """A network's nodes by onnxruntime's profile, one thread, for about `seconds`; None if it is too small for that.

    call: best seconds of a call without the profile. names: what a node may be called -> the layer's name. Raises
    ModelError where it doesn't run.
    """
    calls = int(np.clip(seconds / call, _LEAST_CALLS, _MOST_CALLS))
    with TemporaryDirectory() as folder:
        options = register(ort.SessionOptions())
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
        try:
            session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            given = fed_with(feeds, "the network")(session.get_inputs())
            for _ in range(calls + 1):
                session.run(None, dict(given))
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        except ORT_ERRORS as error:
            raise ModelError(f"onnxruntime can't profile the network: {error}") from error
    return _summed(events, names, call)


def _summed(events: Iterable[Mapping], names: Mapping[str, str], call: float) -> LayerTimes | None:
    found: dict[str, float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            node = event["name"].removesuffix("_kernel_time")
            found[node] = min(found.get(node, inf), 1e-6 * event["dur"])
    total = sum(found.values())
    own = max(0.0, total - call)
    if not found or own > _MOST_OWN * total:
        return None
    rest, layers = 0.0, defaultdict[str, float](float)
    for node, time in found.items():
        name = names.get(node) or names.get(node.removesuffix("_nchwc"))
        if name is None:
            rest += max(0.0, time - own / len(found))
        else:
            layers[name] += max(0.0, time - own / len(found))
    return LayerTimes(dict(layers), rest)

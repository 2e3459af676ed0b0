"""The whole comparison: layers and networks against float, 8-bit integers and Larq, and what serving takes.

options -> peaks -> layers -> for each network: build, time, then ResNet50's fresh processes -> result
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from paconv.bench.int8_form import Advice, int8_advice
from paconv.bench.models import PEAK_SECONDS, checked_threads
from paconv.bench.peaks import HostPeaks, measure_peaks
from paconv.errors import UsageError
from paconv.measure.environment import environment
from paconv.network.layers import Layer
from paconv.studies.speed.builds import Build, NetworkFiles, build_network, build_single_binary
from paconv.studies.speed.larq import Larq, larq_engine
from paconv.studies.speed.layers import POINTWISE, WINDOWS, time_layer
from paconv.studies.speed.measured import FLOAT, INT8, PA, Measured
from paconv.studies.speed.memory import Served, serve_fresh
from paconv.studies.speed.networks import time_network

__all__ = ["IMAGE_NETWORKS", "LAYERS", "PLANES", "Comparison", "Options", "compare_all"]

PLANES = ((1, 1), (2, 2), (3, 3), (4, 5), (8, 7))
LAYERS = (*WINDOWS, *POINTWISE)
IMAGE_NETWORKS = {"resnet18": (3, 224, 224), "resnet34": (3, 224, 224), "resnet50": (3, 224, 224)}
"""Network -> shape of its input without the batch."""

_WITH_PEERS = "resnet18"
"""The network beside which the single-binary ones are timed."""

SERVED_PLANES = (4, 5)
"""(M, N) of the packed model that is served in fresh processes."""

Progress = Callable[[str, float], None]
"""Called with (what is done, 0 to 1 of the whole run)."""


@dataclass(frozen=True)
class Options:
    """What to time, and for how long."""

    networks: dict[str, tuple[int, ...]] = field(default_factory=lambda: dict(IMAGE_NETWORKS))
    """Name -> input shape."""
    layers: Sequence[Layer] = LAYERS
    """The single ones to time."""
    planes: Sequence[tuple[int, int]] = PLANES
    """(M, N) of the packed models and layers."""
    threads: Sequence[int] = (1, 2)
    """Of onnxruntime's pool."""
    layer_seconds: float = 12.0
    """Per layer, for all its forms and thread counts together."""
    network_seconds: float = 60.0
    """Per network, for all its forms and thread counts together."""
    larq_python: str | None = None
    """A Python that has Larq Compute Engine; None if there is none."""

    def as_data(self) -> dict[str, Any]:
        return {
            "networks": {name: list(shape) for name, shape in self.networks.items()},
            "layers": [layer.name for layer in self.layers],
            "planes": [list(pair) for pair in self.planes],
            "threads": list(self.threads),
            "layer_seconds": self.layer_seconds,
            "network_seconds": self.network_seconds,
            "batch": 1,
            "spinning": False,
        }


@dataclass(frozen=True)
class Comparison:
    """What was measured."""

    environment: dict[str, Any]
    """Machine and versions."""
    options: dict[str, Any]
    """As asked for."""
    peaks: HostPeaks
    """What this machine's instructions can reach."""
    larq: dict[str, str] | str
    """Versions of Larq's packages, or why it wasn't run."""
    int8: Advice
    """Which 8-bit form was timed."""
    layers: list[Measured] = field(default_factory=list)
    """Single layers."""
    networks: list[Measured] = field(default_factory=list)
    """Whole networks."""
    builds: list[Build] = field(default_factory=list)
    """The packed models."""
    served: list[Served] = field(default_factory=list)
    """ResNet50, each form in fresh processes."""
    single_binary: str = ""
    """The network that was timed with levels of -1 and +1; "" if none was."""

    @property
    def threads(self) -> list[int]:
        return self.options["threads"]

    def as_data(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "options": self.options,
            "limits": self.peaks.as_data(),
            "larq": self.larq,
            "int8": self.int8.as_data(),
            "single_binary": self.single_binary,
            "layers": [m.as_data() for m in self.layers],
            "networks": [m.as_data() for m in self.networks],
            "builds": [b.as_data() for b in self.builds],
            "served": [s.as_data() for s in self.served],
            "units": "seconds of a call, best and median; bytes; multiply-accumulates a second",
        }


def compare_all(options: Options, progress: Progress = lambda what, done: None) -> Comparison:
    """Run it all; the models are made in a temporary folder.

    Raises UsageError for bad options, PaconvError where the Python named for Larq doesn't have it, and
    ModuleNotFoundError if there are networks to build and torch isn't there.
    """
    checked_threads(options.threads)
    if min(options.layer_seconds, options.network_seconds) <= 0:
        raise UsageError("seconds: expected more than 0 for layers and networks")
    if options.networks:
        import torch  # noqa: F401  where it isn't there, that is said before the time is spent
    steps = _Steps(options, progress)
    before, advice = environment(), int8_advice()
    with _larq(options.larq_python) as larq, TemporaryDirectory() as folder:
        steps.start("this machine's peaks", PEAK_SECONDS)
        result = Comparison(
            before, options.as_data(), measure_peaks(PEAK_SECONDS, steps.part),
            "not installed" if larq is None else larq.versions, advice,
        )  # fmt: skip
        for layer in options.layers:
            steps.start(layer.name, options.layer_seconds)
            result.layers.extend(
                time_layer(layer, options.planes, options.threads, options.layer_seconds, advice, larq, steps.part)
            )
        single = ""
        for name, shape in options.networks.items():
            steps.start(f"building {name}", _BUILD_SECONDS)
            files = build_network(name, shape, options.planes, Path(folder), advice, steps.say)
            result.builds.extend(files.builds)
            peers = name == _WITH_PEERS
            beside = None
            if peers:
                single, path, built = build_single_binary(shape, Path(folder), steps.say)
                beside = single, path
                result.builds.append(built)
            steps.start(name, options.network_seconds)
            result.networks.extend(
                time_network(
                    files, options.threads, options.network_seconds, single_binary=beside,
                    larq=larq if peers else None, stock=peers, nodes=True, progress=steps.part,
                )
            )  # fmt: skip
            steps.start(f"serving {name} in fresh processes", _SERVE_SECONDS)
            result.served.extend(_served(files))
        steps.finish()
    return Comparison(**{**vars(result), "single_binary": single})


def _served(files: NetworkFiles) -> list[Served]:
    forms: list[tuple[str, Path, tuple[int, int] | None]] = [(FLOAT, files.real, None), (INT8, files.int8, None)]
    if SERVED_PLANES in files.packed:
        forms.append((PA, files.packed[SERVED_PLANES], SERVED_PLANES))
    return [serve_fresh(files.name, what, path, planes) for what, path, planes in forms]


@contextmanager
def _larq(python: str | None) -> Iterator[Larq | None]:
    if python is None:
        yield None
    else:
        with larq_engine(python) as larq:
            yield larq


_BUILD_SECONDS, _SERVE_SECONDS = 45.0, 20.0
"""What these steps take, for the progress bar alone."""


class _Steps:
    """How far the run is: steps weigh the seconds that they are expected to take."""

    def __init__(self, options: Options, progress: Progress):
        each = options.network_seconds + _BUILD_SECONDS + _SERVE_SECONDS
        self._total = PEAK_SECONDS + len(options.layers) * options.layer_seconds + len(options.networks) * each
        self._progress = progress
        self._done = self._step = 0.0
        self._what = ""

    def start(self, what: str, seconds: float) -> None:
        self._done += self._step
        self._what, self._step = what, seconds
        self.part(0.0)

    def say(self, what: str) -> None:
        self._progress(what, self._done / self._total)

    def part(self, done: float) -> None:
        """How much of the step is over, 0 to 1."""
        self._progress(self._what, min(1.0, (self._done + done * self._step) / self._total))

    def finish(self) -> None:
        self._progress("done", 1.0)

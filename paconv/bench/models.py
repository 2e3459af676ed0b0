"""`paconv bench`: a model against others, at one or more thread counts, all sessions in turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

from paconv import variables
from paconv.bench.int8_form import Advice
from paconv.bench.int8_models import Int8Model, open_model, with_int8
from paconv.bench.peaks import HostPeaks, measure_peaks
from paconv.bench.per_layer import LayerTime, packed_layers, time_layers
from paconv.errors import ModelError, UsageError
from paconv.kernels.registry import CHOICES
from paconv.measure.environment import environment
from paconv.measure.timing import Timing, noise_line, ratio
from paconv.measure.turns import take_turns
from paconv.onnx_file.loading import load_model
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table, grouped
from paconv.verification.inputs import make_inputs, read_inputs
from paconv.verification.model import OpenModel

__all__ = ["ModelBench", "SessionTime", "bench", "checked_threads"]

PEAK_SECONDS = 2.0
"""Spent on what this machine can reach, once a run."""

Progress = Callable[[str, float], None]
"""Called with (what is done, 0 to 1 of it)."""


@dataclass(frozen=True)
class SessionTime:
    """A model's time at one thread count."""

    file: str
    """As given."""
    threads: int
    """Of the session."""
    size: int
    """Bytes of the file."""
    timing: Timing
    """Seconds per call."""
    int8: Int8Model | None = None
    """Of a model with 8-bit integers."""


@dataclass(frozen=True)
class ModelBench:
    """A model timed beside others."""

    environment: dict[str, Any]
    """Machine and versions."""
    options: dict[str, Any]
    """As asked for."""
    sessions: list[SessionTime]
    """The model's first, then the others', each at every thread count."""
    advice: Advice | None = None
    """Of the 8-bit form; None if no model has 8-bit integers."""
    layers: list[LayerTime] = field(default_factory=list)
    """Empty unless asked for."""
    peaks: HostPeaks | None = None
    """This machine's peaks; None unless layers were asked for."""

    def against(self, other: SessionTime) -> float:
        """How many times as fast as `other` the model is at the same thread count."""
        own = next(s for s in self.sessions if s.threads == other.threads)  # the model's are the first
        return ratio(own.timing, other.timing)

    def __repr__(self) -> str:
        first, *others = (s for s in self.sessions if s.threads == self.sessions[0].threads)
        beside = "".join(f", {self.against(s):.2f}x as fast as {os.path.basename(s.file)}" for s in others)
        return f"ModelBench({os.path.basename(first.file)}: {1e3 * first.timing.best:.3g} ms{beside})"

    def _repr_html_(self) -> str:
        columns = [Column("model", "model", left=True), Column("threads", "threads")]
        columns += [
            Column("size", "bytes", read=grouped),
            *(Column(k, f"{k} [ms]", read=_ms) for k in ("best", "median")),
        ]
        columns.append(Column("ratio", "the first is times as fast", read="{:.2f}x".format))
        rows = [
            {
                "model": os.path.basename(s.file),
                "threads": s.threads,
                "size": s.size,
                "best": s.timing.best,
                "median": s.timing.median,
                "ratio": None if s.file == self.sessions[0].file else self.against(s),
            }
            for s in self.sessions
        ]
        return as_html(Table(repr(self), columns, rows, notes=[noise_line(s.timing for s in self.sessions)]))

    def as_data(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "options": self.options,
            "sessions": [
                {
                    "file": s.file,
                    "threads": s.threads,
                    "bytes": s.size,
                    **s.timing.as_data(),
                    "model_is_times_as_fast": self.against(s),
                    "int8": None if s.int8 is None else s.int8.as_data(),
                }
                for s in self.sessions
            ],
            "int8": None if self.advice is None else self.advice.as_data(),
            "layers": [layer.as_data() for layer in self.layers],
            "limits": None if self.peaks is None else self.peaks.as_data(),
            "units": "seconds of a call; best and median of all calls; ratios of best",
        }


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def bench(
    model: str | os.PathLike,
    against: Sequence[str | os.PathLike] = (),
    *,
    threads: Sequence[int] = (1,),
    seconds: float = 10.0,
    int8: bool = False,
    kernel: str | None = None,
    per_layer: bool = False,
    inputs: str | os.PathLike | None = None,
    batch: int = 1,
    seed: int = 0,
    input_shape: Mapping[str, Sequence[int]] | None = None,
    progress: Progress = lambda what, done: None,
) -> ModelBench:
    """Time `model` and the models of `against`, fed with the same arrays, in turns.

    Args:
        model: An ONNX file.
        against: The files that it is timed against.
        threads: Of onnxruntime's pool, one or more counts.
        seconds: That the turns take in all.
        int8: Time the first float model of `against` as onnxruntime quantizes it too, in the form that it advises for
            this CPU, its scales from the arrays that are fed.
        kernel: As for paconv.InferenceSession.
        per_layer: Time each PABitConv of `model` alone too, for `seconds` at each thread count.
        inputs: An .npz file; None feeds `batch` seeded random samples.
        batch: Samples per call, without `inputs`.
        seed: Of the samples, without `inputs`.
        input_shape: Sizes of free dimensions, without `inputs`, as paconv.onnx_file.shapes.parse_input_shapes returns.
        progress: Called with (what is done, 0 to 1 of it).

    Raises:
        UsageError: An option is invalid, or the inputs don't fit a model.
        ModelError: A file is missing, or can't be run or quantized.
    """
    threads = checked_threads(threads)
    if not 0 < seconds < inf:
        raise UsageError(f"seconds: expected a finite number above 0; found {seconds}")
    if batch < 1:
        raise UsageError(f"batch: expected at least 1; found {batch}")
    if kernel is not None and kernel != "auto" and kernel not in CHOICES:
        raise UsageError(f"kernel: expected auto, {', '.join(CHOICES)}; found {kernel!r}")
    loaded = load_model(model)
    given = read_inputs(inputs) if inputs else None
    feeds = make_inputs(OpenModel(loaded, str(model)), given, batch, seed, input_shape)
    layers = packed_layers(loaded, {name: x.shape for name, x in feeds.items()}) if per_layer else []
    if per_layer and not layers:
        raise ModelError(f"{model}: expected a packed model for a table of layers; found no PABitConv")

    before = environment()
    progress("opening", 0)
    opened = [open_model(path, feeds, threads, kernel) for path in (model, *against)]
    opened, advice = with_int8(opened, feeds, threads, int8)
    cases = [(m, count, session) for m in opened for count, session in zip(threads, m.sessions, strict=True)]
    calls = take_turns([session for *_, session in cases], seconds, lambda done: progress("models", done))
    times = [
        SessionTime(m.file, count, m.size, Timing.of(own), m.int8)
        for (m, count, _), own in zip(cases, calls, strict=True)
    ]
    options = {
        "threads": threads,
        "seconds": seconds,
        "int8": int8,
        "kernel": kernel or variables.kernel() or "auto",
        "batch": batch,
        "seed": None if inputs else seed,
        "inputs": {name: list(x.shape) for name, x in feeds.items()},
        "spinning": False,
    }
    if not layers:
        return ModelBench(before, options, times, advice)
    peaks = measure_peaks(PEAK_SECONDS, lambda done: progress("this machine's peaks", done))
    found: list[LayerTime] = []
    for count in threads:
        what = f"layers, threads {count}"
        found += time_layers(layers, count, seconds, peaks, kernel, partial(progress, what))
    return ModelBench(before, options, times, advice, found, peaks)


def checked_threads(threads: Sequence[int]) -> list[int]:
    """Each count once, in order. Raises UsageError for none, or one below 1."""
    if not threads or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in threads):
        raise UsageError(f"threads: expected counts of at least 1, such as 1,2; found {','.join(map(str, threads))!r}")
    return list(dict.fromkeys(threads))

"""Timing sessions on a machine that does other things too: many calls of each, all sessions taken in turn.

What disturbs a call only ever makes it longer, so the smallest of many times is the one to keep; and sessions
that take turns share a slow minute, so that their ratios hold.

Threads don't spin: by default those of a session that has just run keep a core busy for a while, waiting for more
work, and the session whose turn comes next pays for it (float ResNet18 on two threads of two cores took 25 ms beside a
session that spins, 13 ms beside one that doesn't). On one thread it makes no difference. A session that is timed alone
may spin, as it does when it serves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime as ort

from paconv.errors import ModelError
from paconv.runtime.session import ORT_ERRORS, register

__all__ = ["Feed", "Runnable", "Timed", "best_times", "take_turns"]

_TURN = 0.002
"""Seconds one session runs before the next has its turn, at least one call."""

_ROUNDS = 3
"""Turns that every session has at least."""

_NUMPY_NAMES = {"float": "float32", "double": "float64"}


class Runnable(Protocol):
    """What can be timed."""

    def call(self) -> float:
        """Seconds of one call."""


Feed = Callable[[Sequence[Any]], Mapping[str, np.ndarray]]
"""A session's inputs (onnxruntime's NodeArg) -> an array for each of them by name."""


class Timed:
    """A session with its input bound to memory, so that a call is the model's work and little else.

    inputs: name -> the array that it is fed.
    """

    def __init__(
        self,
        model: onnx.ModelProto | str | os.PathLike,
        threads: int,
        shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        feed: Feed | None = None,
        kernel: str | None = None,
        library: bool = True,
        spinning: bool = False,
    ):
        """Open the model and run it once, to warm up.

        shapes: of inputs whose sizes are free; the inputs are standard normal, unless `feed` makes them. kernel: as
        for paconv.InferenceSession; library: False for a session without the custom-op library; spinning: let its
        threads spin for a while when they have nothing to do, onnxruntime's default. Raises ModelError if onnxruntime
        can't load or run the model.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # failures are raised; what onnxruntime logs would come twice
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        if library:
            register(options, kernel)
        source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else os.fspath(model)
        try:
            session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            self.inputs = feed(session.get_inputs()) if feed else _random(session.get_inputs(), shapes or {})
            self._binding = session.io_binding()
            for name, x in self.inputs.items():
                self._binding.bind_cpu_input(name, x)
            for output in session.get_outputs():
                self._binding.bind_output(output.name)
            self._session = session
            self.call()
        except ORT_ERRORS as error:
            where = "" if isinstance(model, onnx.ModelProto) else f"{source}: "
            raise ModelError(f"{where}onnxruntime can't run the model: {error}") from error

    def call(self) -> float:
        """Seconds of one call."""
        start = time.perf_counter()
        self._session.run_with_iobinding(self._binding)
        return time.perf_counter() - start

    def outputs(self) -> list[np.ndarray]:
        """Of the last call."""
        return self._binding.copy_outputs_to_cpu()


def take_turns(
    sessions: Sequence[Runnable], seconds: float, progress: Callable[[float], None] = lambda done: None
) -> list[list[float]]:
    """Seconds of every call of each session, from turns that take about `seconds` in all (each has three at least).

    progress: called after each round with how much of the time is over, 0 to 1.
    """
    calls: list[list[float]] = [[] for _ in sessions]
    start, rounds = time.perf_counter(), 0
    while rounds < _ROUNDS or time.perf_counter() - start < seconds:
        for session, own in zip(sessions, calls, strict=True):
            turn = time.perf_counter()
            while True:
                own.append(session.call())
                if time.perf_counter() - turn > _TURN:
                    break
        rounds += 1
        over = (time.perf_counter() - start) / seconds if seconds > 0 else 1.0
        progress(min(1.0, over, rounds / _ROUNDS))
    return calls


def best_times(sessions: Sequence[Runnable], seconds: float) -> list[float]:
    """The shortest call of each session, in seconds, from turns that take about `seconds` in all."""
    return [min(own) for own in take_turns(sessions, seconds)]


def _random(inputs: Sequence[Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {i.name: rng.standard_normal(shapes.get(i.name, i.shape)).astype(_dtype(i.type)) for i in inputs}


def _dtype(kind: str) -> np.dtype:
    """onnxruntime's "tensor(float)" -> numpy's type."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return np.dtype(_NUMPY_NAMES.get(name, name))

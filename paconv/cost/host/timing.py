"""Timing sessions on a machine that does other things too: the best of many calls, all sessions taken in turn.

What disturbs a call only ever makes it longer, so the smallest of many times is the one to keep; and sessions
that take turns share a slow minute, so that their ratios hold.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from paconv.errors import ModelError
from paconv.runtime.session import register

__all__ = ["Timed", "best_times"]

_TURN = 0.002
"""Seconds one session runs before the next has its turn, at least one call."""

_FAILURES = tuple(e for e in vars(failures).values() if isinstance(e, type) and issubclass(e, Exception))
"""onnxruntime's exceptions have no base class of their own."""


class Timed:
    """A session with its input bound to memory, so that a call is the model's work and little else."""

    def __init__(self, model: onnx.ModelProto, threads: int, shapes: Mapping[str, Sequence[int]] | None = None):
        """shapes: of inputs whose sizes are free. Raises ModelError if onnxruntime can't load or run the model."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        rng = np.random.default_rng(0)
        try:
            session = ort.InferenceSession(model.SerializeToString(), register(options), ["CPUExecutionProvider"])
            self._binding = session.io_binding()
            for given in session.get_inputs():
                dtype = helper.tensor_dtype_to_np_dtype(_element_type(model, given.name))
                x = rng.standard_normal((shapes or {}).get(given.name, given.shape)).astype(dtype)
                self._binding.bind_cpu_input(given.name, x)
            for output in session.get_outputs():
                self._binding.bind_output(output.name)
            self._session = session
            self.call()
        except _FAILURES as error:
            raise ModelError(f"onnxruntime can't run the model: {error}") from error

    def call(self) -> float:
        """Seconds of one call."""
        start = time.perf_counter()
        self._session.run_with_iobinding(self._binding)
        return time.perf_counter() - start


def best_times(sessions: Sequence[Timed], seconds: float) -> list[float]:
    """The shortest call of each session, in seconds, from turns that take about `seconds` in all (each has three at
    least).
    """
    best = [float("inf")] * len(sessions)
    start, rounds = time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - start < seconds:
        for index, session in enumerate(sessions):
            turn = time.perf_counter()
            while True:
                best[index] = min(best[index], session.call())
                if time.perf_counter() - turn > _TURN:
                    break
        rounds += 1
    return best


def _element_type(model: onnx.ModelProto, name: str) -> int:
    return next(i.type.tensor_type.elem_type for i in model.graph.input if i.name == name)

"""Larq Compute Engine, in a Python of its own that talks over pipes: its TensorFlow and numpy stay out of ours.

    one line of JSON in, one out:    {"layer": [C, O, size, kernel], "threads": 1}   ->  {"run": 0}
                                     {"network": "BiRealNet", "threads": 1}          ->  {"run": 1}
                                     {"time": 0}                                     ->  {"seconds": 0.0123}
                                     anything that fails                             ->  {"error": "..."}

larq_worker.py answers, in isolated mode (-I), so that neither our modules nor PYTHONPATH get in its way. A call is
timed there, so that sessions here and runs there can take turns.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paconv.errors import PaconvError
from paconv.network.layers import Layer

__all__ = ["NETWORKS", "Larq", "LarqRun", "larq_engine"]

_WORKER = Path(__file__).with_name("larq_worker.py")

NETWORKS = ("BiRealNet", "QuickNet")
"""Of larq_zoo: ResNet18 in Bi-Real Net's layout, and the engine's own."""


class Larq:
    """A worker process. versions: of the packages that it uses."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process
        self.versions: dict[str, str] = self._answer()["versions"]

    def layer(self, layer: Layer, threads: int) -> int:
        """A binary convolution with weights and activations of +1 and -1: the number of its run."""
        (channels, size), (out, kernel) = layer.input_shape[1:3], layer.weight_shape[::3]
        return self.ask({"layer": [channels, out, size, kernel], "threads": threads})["run"]

    def network(self, name: str, threads: int) -> int:
        """One of NETWORKS at 224x224: the number of its run."""
        return self.ask({"network": name, "threads": threads})["run"]

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer. Raises PaconvError with its reason if it has none."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise PaconvError(f"Larq Compute Engine's process ended: {error.strerror}") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PaconvError("Larq Compute Engine's process ended without an answer")
        answer = json.loads(line)
        if "error" in answer:
            raise PaconvError(f"Larq Compute Engine: {answer['error']}")
        return answer


class LarqRun:
    """One of the worker's runs, timed as a session is."""

    def __init__(self, larq: Larq, run: int):
        self._larq, self._run = larq, run

    def call(self) -> float:
        return self._larq.ask({"time": self._run})["seconds"]


@contextmanager
def larq_engine(python: str) -> Iterator[Larq]:
    """A worker in the Python at `python`, ended at the end.

    Raises PaconvError if that can't be run or can't import larq_compute_engine.
    """
    try:
        process = subprocess.Popen(
            [python, "-I", str(_WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    except OSError as error:
        raise PaconvError(f"{python}: cannot be run: {error.strerror}; give a Python that has Larq") from error
    with process:
        try:
            try:
                larq = Larq(process)
            except PaconvError as error:
                raise PaconvError(f"{python}: {error}; give a Python that has Larq") from error
            yield larq
        finally:
            process.kill()

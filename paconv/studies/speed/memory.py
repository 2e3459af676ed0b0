"""What serving a model takes in a fresh process: time to open it, to run it first, and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paconv.errors import ModelError
from paconv.studies.speed.measured import FLOAT, INT8, PA

__all__ = ["Served", "serve_fresh"]

_PROCESSES = 3
"""Fresh processes for each model: the fastest opening counts, and the largest peak."""


@dataclass(frozen=True)
class Served:
    """A model served in fresh processes."""

    subject: str
    """The network."""
    what: str
    """FLOAT, INT8 or PA."""
    planes: tuple[int, int] | None
    """(M, N) of PA."""
    create_seconds: float
    """Time to open the model."""
    first_run_seconds: float
    """Time of the first call."""
    peak_bytes: int
    """Of the whole process."""
    before_bytes: int
    """The process's peak before the model was opened: Python and onnxruntime."""

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def serve_fresh(
    subject: str, what: str, path: str | os.PathLike, planes: tuple[int, int] | None = None, threads: int = 1
) -> Served:
    """Serve the model in a few processes of its own. what: FLOAT or INT8, or PA with the library registered.

    Raises ModelError with what the process said if it failed.
    """
    assert what in (FLOAT, INT8, PA)
    runs = [_serve(path, threads, "auto" if what == PA else "") for _ in range(_PROCESSES)]
    return Served(
        subject, what, planes,
        min(run["create_seconds"] for run in runs),
        min(run["first_run_seconds"] for run in runs),
        max(run["peak_bytes"] for run in runs),
        max(run["before_bytes"] for run in runs),
    )  # fmt: skip


def _serve(path: str | os.PathLike, threads: int, kernel: str) -> dict[str, Any]:
    serve_once = [sys.executable, "-m", "paconv.studies.speed.serve_once"]
    command: Sequence[str] = [*serve_once, os.fspath(path), str(threads), kernel]
    here = str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ModelError(f"{path}: serving it in a fresh process failed: {last}")
    return json.loads(done.stdout)

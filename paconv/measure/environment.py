"""What a measurement was made on: the machine, the versions, what the environment asks for. No path, no name of it."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

import numpy
import onnx
import onnxruntime

from paconv import variables
from paconv._version import __version__
from paconv.cores import usable_cores
from paconv.kernels import native
from paconv.measure.machine import cpu_name, integer_instructions, vector_instructions
from paconv.runtime.library import active_cpu

__all__ = ["environment"]


def environment() -> dict[str, Any]:
    """Plain data, stored with every result. load: running processes on average over the last minute, at the start."""
    return {
        "cpu": cpu_name(),
        "instructions": [*vector_instructions(), *integer_instructions()],
        "cores": usable_cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}, {platform.machine()}",
        "versions": {
            "paconv": __version__,
            "onnxruntime": onnxruntime.__version__,
            "onnx": onnx.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        "level": active_cpu(),
        "kernels": native.fingerprint(),
        "variables": variables.given(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None

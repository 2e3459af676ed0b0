"""Which machine and which kernels a measurement belongs to."""

from __future__ import annotations

import hashlib
import platform

import onnxruntime as ort

from paconv._version import __version__
from paconv.kernels import native
from paconv.measure.features import DOT_PRODUCTS, VECTORS, cpu_features, cpu_info
from paconv.runtime.library import active_cpu

__all__ = ["cpu_name", "host_identity", "integer_instructions", "vector_instructions"]


def cpu_name() -> str:
    """The CPU's name for a person."""
    return cpu_info().get("model name") or platform.processor() or platform.machine()


def integer_instructions() -> list[str]:
    """The integer dot-product instructions that there are, as far as that is known."""
    return _having(DOT_PRODUCTS)


def vector_instructions() -> list[str]:
    """The vector instructions that there are, integer dot products aside, as far as that is known."""
    return _having(VECTORS)


def host_identity(threads: int) -> dict[str, str | int]:
    """All that the rates depend on: another value of any of these is another host model."""
    told = "\n".join(cpu_info().get(key, "") for key in ("cpu family", "model", "stepping", "flags", "Features"))
    return {
        "cpu": cpu_name(),
        "cpu_details": hashlib.sha256(told.encode()).hexdigest()[:16],
        "threads": threads,
        "onnxruntime": ort.__version__,
        "paconv": __version__,
        "kernels": native.fingerprint(),
        "level": active_cpu(),
    }


def _having(names: tuple[str, ...]) -> list[str]:
    features = cpu_features()
    return [name for name in names if name in features]

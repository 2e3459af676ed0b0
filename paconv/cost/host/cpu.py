"""Which machine and which kernels a measurement belongs to."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

import onnxruntime as ort

import paconv
from paconv.kernels import native
from paconv.runtime.library import active_level

__all__ = ["cpu_name", "host_identity", "integer_instructions", "vector_instructions"]

_CPU_INFO = Path("/proc/cpuinfo")

_DOT_PRODUCTS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
"""Flags of Linux for integer dot-product instructions, on x86 and ARM."""

_VECTORS = (
    "sse4_2", "avx2", "fma", "avx512f", "avx512bw", "avx512_vpopcntdq", "avx512_bitalg", "avx512_vbmi", "amx_tile",
    "asimd", "sve",
)  # fmt: skip
"""Flags of Linux for the other vector instructions that kernels are made of."""


def cpu_name() -> str:
    """The CPU's name for a person."""
    return _cpu().get("model name") or platform.processor() or platform.machine()


def integer_instructions() -> list[str]:
    """The integer dot-product instructions that the CPU has, as far as the system tells."""
    return _having(_DOT_PRODUCTS)


def vector_instructions() -> list[str]:
    """The vector instructions that the CPU has, integer dot products aside, as far as the system tells."""
    return _having(_VECTORS)


def host_identity(threads: int) -> dict[str, str | int]:
    """All that the rates depend on: another value of any of these is another host model."""
    told = "\n".join(_cpu().get(key, "") for key in ("cpu family", "model", "stepping", "flags", "Features"))
    return {
        "cpu": cpu_name(),
        "cpu_details": hashlib.sha256(told.encode()).hexdigest()[:16],
        "threads": threads,
        "onnxruntime": ort.__version__,
        "paconv": paconv.__version__,
        "kernels": native.fingerprint(),
        "level": active_level(),
    }


def _having(names: tuple[str, ...]) -> list[str]:
    flags = (_cpu().get("flags") or _cpu().get("Features") or "").split()
    return [name for name in names if name in flags]


@cache
def _cpu() -> dict[str, str]:
    """Fields of the first processor, empty where the system doesn't tell."""
    if not _CPU_INFO.exists():
        return {}
    first = _CPU_INFO.read_text().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


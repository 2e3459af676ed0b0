"""The kernels of the built library, by CPU and name, and memory for them."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np

from paconv.kernels.cpus import find_cpu
from paconv.kernels.registry import FAMILIES
from paconv.runtime.library import load_library, runnable_cpus

__all__ = ["MICROKERNELS", "aligned", "built_cpus", "kernel", "cpu_kinds"]

_TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)
MICROKERNELS = {
    name: ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(family.arguments)) for name, family in FAMILIES.items()
}
"""Name -> type."""


@cache
def kernel(cpu: str, name: str, first: int = 0, second: int = 0):
    """A linked kernel, to be called; `first` and `second` are a microkernel's variant."""
    runnable_cpus()  # asks for the permission to use AMX
    address = load_library().paconv_kernel(cpu.encode(), name.encode(), first, second)
    assert address, (cpu, name, first, second)
    return MICROKERNELS.get(name, _TASK)(address)


def built_cpus() -> list[str]:
    """The levels of the library, highest first, whether this machine runs them or not."""
    text = ctypes.create_string_buffer(1024)
    load_library().paconv_cpus(1, text, len(text))
    return text.value.decode().split()


def cpu_kinds() -> list[tuple[str, str]]:
    """Every (CPU, kind of products) that this machine runs."""
    return [(cpu, kind) for cpu in runnable_cpus() for kind in find_cpu(cpu).multipliers]


def aligned(shape, dtype) -> np.ndarray:
    """Zeros on a boundary of 64 bytes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)

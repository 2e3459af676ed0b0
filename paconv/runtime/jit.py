"""The development switch PACONV_JIT=1: kernels compiled by Numba in this process, when a node needs them.

The shim alone is linked into a cache folder named by a fingerprint of everything that goes in; Numba's compiled
kernels are kept in the same folder, so that a later process compiles nothing.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from paconv import variables
from paconv.bits import MAX_PLANES
from paconv.errors import PaconvError
from paconv.kernels import native
from paconv.kernels.blocking import blocking
from paconv.kernels.emit.compile import JitMicrokernel, compile_task, host_cpus
from paconv.kernels.rates import rates_of
from paconv.kernels.registry import FAMILIES, KERNELS, KINDS, kind_number, plane_pairs
from paconv.library_build.build import link_library
from paconv.library_build.targets import host_target

__all__ = ["jit_library_path"]

_lock = threading.RLock()
_compiled: dict[tuple[str, tuple[int, int]], Any] = {}
"""Kernels by name and variant. They must live as long as the process: the shim holds their addresses."""


def jit_library_path() -> str:
    """Path of the shim, which asks this process for kernels. Raises PaconvError if it can't be built or loaded."""
    return str(_loaded()[0])


def _cache_folder() -> Path:
    cpu = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()
    parts = (native.library_info(), numba.__version__, str(sys.version_info[:2]), str(cpu))
    return variables.cache_folder() / "jit" / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@cache
def _loaded() -> tuple[Path, ctypes.CDLL, object]:
    """(path, library, resolver callback), loaded once; the callback must stay referenced."""
    folder = _cache_folder()
    path = folder / "libpaconv-jit.so"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            link_library(host_target(), path, cpus=(), objects=())
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise PaconvError(f"the development library {path}: {error}; PACONV_CACHE sets another folder") from error
    library.paconv_install.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    _install_cpu(library)
    resolver = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.c_int64)(
        lambda M, N: int(_install(library, folder, M, N))
    )
    library.paconv_set_resolver(resolver)
    return path, library, resolver


def _install_cpu(library: ctypes.CDLL) -> None:
    """What the shim needs to know of the CPU besides its kernels."""
    cpu, size = host_cpus()[0], MAX_PLANES + 1
    rates = rates_of(cpu)
    blockings, planes = np.zeros((size, size, 3), np.int64), np.zeros((size, size))
    for M, N in plane_pairs():
        plan = blocking(M, N, cpu.budget)
        blockings[M, N], planes[M, N] = (plan.pixels, plan.parts_M, plan.parts_N), rates.planes[M, N]
    multipliers, codes = np.zeros((len(KINDS) + 1, 3), np.int64), np.zeros(len(KINDS) + 1)
    for kind, each in cpu.multipliers.items():
        number = kind_number(kind)
        multipliers[number], codes[number] = (each.pixels, each.blocks, each.words), rates.codes[kind]
    library.paconv_install_cpu.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 4]
    library.paconv_install_cpu(
        int(cpu.signed_codes), *(values.ctypes.data for values in (blockings, multipliers, planes, codes))
    )


def _install(library: ctypes.CDLL, folder: Path, M: int, N: int) -> bool:
    """Compile and install what nodes with (M, N) need. Called by the shim when a node is created; must not raise."""
    try:
        with _lock:
            cpu = host_cpus()[0]
            for name in KERNELS:
                if (name, (0, 0)) not in _compiled:
                    _compiled[name, (0, 0)] = _compile_cached(folder, name)
                    _tell(library, name, (0, 0))
            for each in (k for family in FAMILIES.values() for k in family.of_node(cpu, M, N)):
                if (each.name, each.variant) not in _compiled:
                    _compiled[each.name, each.variant] = JitMicrokernel(each, cpu)
                    _tell(library, each.name, each.variant)
    except Exception as error:  # a C caller can't take it: say it here, and the shim refuses the node
        print(f"paconv: compiling the kernels for M={M}, N={N} failed: {error}", file=sys.stderr)
        return False
    return True


def _tell(library: ctypes.CDLL, name: str, variant: tuple[int, int]) -> None:
    if not library.paconv_install(name.encode(), *variant, _compiled[name, variant].address):
        raise ValueError(f"the shim does not know the kernel {name}")


def _compile_cached(folder: Path, name: str):
    """compile_task with Numba's on-disk cache in our folder instead of beside the sources."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder / "kernels")
    try:
        return compile_task(name, cache=True)
    finally:
        config.CACHE_DIR = before

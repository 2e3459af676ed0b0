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
from itertools import product
from pathlib import Path
from typing import Any

import numba
import numpy as np

from paconv import variables
from paconv.bits import MAX_PLANES
from paconv.errors import PaconvError
from paconv.kernels import native
from paconv.kernels.compile import JitMicrokernel, compile_task, host_levels
from paconv.kernels.rates import rates_of
from paconv.kernels.registry import KERNELS, KINDS, Microkernel, microkernels, plane_pairs
from paconv.kernels.tiling import split, tiling
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
            link_library(host_target(), path, levels=(), objects=())
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise PaconvError(f"the development library {path}: {error}; PACONV_CACHE sets another folder") from error
    library.paconv_install.argtypes = [ctypes.c_char_p, *[ctypes.c_int64] * 4, ctypes.c_void_p]
    _install_level(library)
    resolver = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.c_int64)(
        lambda M, N: int(_install(library, folder, M, N))
    )
    library.paconv_set_resolver(resolver)
    return path, library, resolver


def _install_level(library: ctypes.CDLL) -> None:
    """What the shim needs to know of the level besides its kernels."""
    level, size = host_levels()[0], MAX_PLANES + 1
    rates = rates_of(level)
    tilings, planes = np.zeros((size, size, 3), np.int64), np.zeros((size, size))
    for M, N in plane_pairs():
        plan = tiling(M, N, level.budget)
        tilings[M, N], planes[M, N] = (plan.pixels, plan.parts_M, plan.parts_N), rates.planes[M, N]
    codes = np.array([0.0, *(rates.codes.get(kind, 0.0) for kind in KINDS)])
    library.paconv_install_level.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 3]
    library.paconv_install_level(
        int(level.signed_codes), *(values.ctypes.data for values in (tilings, planes, codes))
    )


def _install(library: ctypes.CDLL, folder: Path, M: int, N: int) -> bool:
    """Compile and install what nodes with (M, N) need. Called by the shim when a node is created; must not raise."""
    try:
        with _lock:
            level = host_levels()[0]
            for name in KERNELS:
                if (name, (0, 0)) not in _compiled:
                    _compiled[name, (0, 0)] = _compile_cached(folder, name)
                    _tell(library, Microkernel(name), _compiled[name, (0, 0)].address)
            plan = tiling(M, N, level.budget)
            parts = set(product(split(M, plan.parts_M), split(N, plan.parts_N)))
            for each in microkernels(level):
                if each.name == "limit" or (each.name == "accumulate" and each.variant not in parts):
                    continue
                key = each.name, each.variant
                if key not in _compiled:
                    _compiled[key] = JitMicrokernel(each, level)
                    _tell(library, each, _compiled[key].address)
    except Exception as error:  # a C caller can't take it: say it here, and the shim refuses the node
        print(f"paconv: compiling the kernels for M={M}, N={N} failed: {error}", file=sys.stderr)
        return False
    return True


def _tell(library: ctypes.CDLL, kernel: Microkernel, address: int) -> None:
    if not library.paconv_install(kernel.name.encode(), *kernel.variant, kernel.pixels, kernel.blocks, address):
        raise ValueError(f"the shim does not know the kernel {kernel.name}")


def _compile_cached(folder: Path, name: str):
    """compile_task with Numba's on-disk cache in our folder instead of beside the sources."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder / "kernels")
    try:
        return compile_task(name, cache=True)
    finally:
        config.CACHE_DIR = before

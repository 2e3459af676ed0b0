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

from paconv import variables
from paconv.errors import PaconvError
from paconv.files import need_own
from paconv.kernels import native
from paconv.kernels.emit.compile import JitMicrokernel, compile_task, host_cpus
from paconv.kernels.registry import FAMILIES, KERNELS
from paconv.library_build.build import link_library
from paconv.library_build.targets import host_target
from paconv.runtime.shim import install_cpu, install_kernel, set_resolver

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
def _loaded() -> tuple[Path, ctypes.CDLL]:
    """(path, library), loaded once."""
    folder = _cache_folder()
    path = folder / "libpaconv-jit.so"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        need_own(folder, "PACONV_CACHE sets another folder")
        if not path.exists():
            link_library(host_target(), path, cpus=(), objects=())
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise PaconvError(f"the development library {path}: {error}; PACONV_CACHE sets another folder") from error
    install_cpu(library, host_cpus()[0])
    _install(library, folder, 1, 1)  # nodes without planes ask for none: they find what all nodes share
    set_resolver(library, lambda M, N: _install(library, folder, M, N))
    return path, library


def _install(library: ctypes.CDLL, folder: Path, M: int, N: int) -> bool:
    """Compile and install what nodes with (M, N) need. Called by the shim when a node is created; must not raise."""
    try:
        with _lock:
            cpu = host_cpus()[0]
            for name in KERNELS:
                if (name, (0, 0)) not in _compiled:
                    _compiled[name, (0, 0)] = _compile_cached(folder, name)
                    install_kernel(library, name, (0, 0), _compiled[name, (0, 0)].address)
            for each in (k for family in FAMILIES.values() for k in family.of_node(cpu, M, N)):
                if (each.name, each.variant) not in _compiled:
                    _compiled[each.name, each.variant] = JitMicrokernel(each, cpu)
                    install_kernel(library, each.name, each.variant, _compiled[each.name, each.variant].address)
    except Exception as error:  # a C caller can't take it: say it here, and the shim refuses the node
        print(f"paconv: compiling the kernels for M={M}, N={N} failed: {error}", file=sys.stderr)
        return False
    return True


def _compile_cached(folder: Path, name: str):
    """compile_task with Numba's on-disk cache in our folder instead of beside the sources."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder / "kernels")
    try:
        return compile_task(name, cache=True)
    finally:
        config.CACHE_DIR = before

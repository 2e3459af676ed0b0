"""The development switch PACONV_JIT=1: kernels compiled by Numba in this process, when a node needs them.

The shim alone is linked into a cache folder named by a fingerprint of everything that goes in; Numba's compiled
kernels are kept in the same folder, so that a later process compiles nothing.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import threading
from functools import cache
from pathlib import Path

import numba

from paconv.errors import PaconvError
from paconv.kernels import native
from paconv.kernels.compile import compile_kernel, host_level
from paconv.kernels.levels import Level
from paconv.kernels.registry import KERNELS
from paconv.kernels.tiling import code_tile, tiling
from paconv.library_build.build import link_library
from paconv.library_build.targets import host_target

__all__ = ["jit_library_path"]

_lock = threading.RLock()
_compiled: dict[tuple[str, int, int], object] = {}
"""Kernels by (name, M, N). They must live as long as the process: the shim holds their addresses."""


def jit_library_path() -> str:
    """Path of the shim, which asks this process for kernels. Raises PaconvError if it can't be built or loaded."""
    return str(_loaded()[0])


def _cache_folder() -> Path:
    base = os.environ.get("PACONV_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(Path.home(), ".cache"), "paconv"
    )
    cpu = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()
    parts = (native.library_info(), numba.__version__, str(sys.version_info[:2]), str(cpu))
    return Path(base) / "jit" / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


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
    library.paconv_install.argtypes = [ctypes.c_char_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    resolver = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.c_int64)(
        lambda M, N: int(_install(library, folder, M, N))
    )
    library.paconv_set_resolver(resolver)
    return path, library, resolver


def _install(library: ctypes.CDLL, folder: Path, M: int, N: int) -> bool:
    """Compile and install what nodes with (M, N) need. Called by the shim when a node is created; must not raise."""
    try:
        with _lock:
            level = host_level()
            for kernel in KERNELS.values():
                planes = kernel.name == "accumulate"
                for variant in [(M, N)] if planes else kernel.variants or [(0, 0)]:
                    key = (kernel.name, *variant)
                    if key in _compiled:
                        continue
                    _compiled[key] = _compile_cached(folder, kernel.name, variant, level)
                    budget = level.budget
                    tile = tiling(M, N, budget).pixels if planes else code_tile(max(variant[0], 1), budget)
                    if not library.paconv_install(kernel.name.encode(), *variant, tile, _compiled[key].address):
                        raise ValueError(f"the shim does not know the kernel {kernel.name}")
    except Exception as error:  # a C caller can't take it: say it here, and the shim refuses the node
        print(f"paconv: compiling the kernels for M={M}, N={N} failed: {error}", file=sys.stderr)
        return False
    return True


def _compile_cached(folder: Path, name: str, variant: tuple[int, int], level: Level):
    """compile_kernel with Numba's on-disk cache in our folder instead of beside the sources."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder / "kernels")
    try:
        return compile_kernel(name, variant, level, cache=True)
    finally:
        numba.config.CACHE_DIR = before

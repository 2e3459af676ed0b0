"""The custom-op library: built once per machine and version, its kernels compiled when a model needs them.

The C shim is compiled with the system's C compiler into a cache folder named by a fingerprint of everything that
goes in; Numba's compiled kernels are kept in the same folder, so that a later process compiles nothing.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numba

from paconv.errors import PaconvError
from paconv.files import replacing
from paconv.kernels import native
from paconv.kernels.accumulate import cpu_features
from paconv.kernels.registry import KERNELS, compile_kernel

__all__ = ["cache_folder", "library_path"]

_lock = threading.RLock()
_compiled: dict[tuple[str, int, int], object] = {}
"""Kernels by (name, M, N). They must live as long as the process: the shim holds their addresses."""


def library_path() -> str:
    """Path of the custom-op library, for `SessionOptions.register_custom_ops_library`.

    The library is ready for use in this process when this returns. Raises PaconvError if it can't be built or loaded.
    """
    return str(_loaded()[0])


def cache_folder() -> Path:
    """Where the compiled library and kernels are kept: PACONV_CACHE, else the user's cache folder.

    Its last part is a fingerprint of the sources, Numba's version and the CPU, so nothing stale is ever loaded.
    """
    base = os.environ.get("PACONV_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(Path.home(), ".cache"), "paconv"
    )
    return Path(base) / _fingerprint()


@cache
def _fingerprint() -> str:
    digest = hashlib.sha256()
    kernels = Path(native.FOLDER).parent
    for source in sorted([*kernels.glob("*.py"), *(native.FOLDER / name for name in native.SOURCES)]):
        digest.update(source.read_bytes())
    parts = (native.tables_header(), numba.__version__, platform.machine(), cpu_features(), str(sys.version_info[:2]))
    digest.update("\0".join(parts).encode())
    return digest.hexdigest()[:16]


@cache
def _loaded() -> tuple[Path, ctypes.CDLL, object]:
    """(path, library, resolver callback), loaded once; the callback must stay referenced."""
    with _lock:
        path = _build()
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise PaconvError(f"cannot load the custom-op library {path}: {error}") from error
        library.paconv_install.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        resolver = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64)(
            lambda name, M, N: int(_install(library, name.decode(), M, N))
        )
        library.paconv_set_resolver(resolver)
        return path, library, resolver


def _build() -> Path:
    """Compile the shim unless the cache has it. Processes may race: each renames a whole file into place."""
    folder = cache_folder()
    path = folder / "libpaconv.so"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PaconvError(f"cannot make the cache folder {folder}: {error.strerror}; set PACONV_CACHE") from error
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise PaconvError("cannot build the custom-op library: no C compiler found; install gcc or set CC")
    with replacing(folder / "paconv_tables.h") as header:
        header.write_text(native.tables_header())
    with replacing(path) as target:
        command = [
            *compiler.split(), "-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra",
            f"-I{folder}", str(native.FOLDER / "shim.c"), "-o", str(target), "-lpthread",
            # onnxruntime unloads the library with its last session; the installed kernels must survive that.
            "-Wl,-z,nodelete",
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            first = next(iter(result.stderr.strip().splitlines()), "no message")
            raise PaconvError(f"cannot build the custom-op library with {compiler}: {first}")
        target.chmod(0o755)
    return path


def _install(library: ctypes.CDLL, name: str, M: int, N: int) -> bool:
    """Compile and install kernel `name` for (M, N) and those that every node needs. Called by the shim when a node is
    created; must not raise.
    """
    try:
        with _lock:
            for needed in (name, *(k.name for k in KERNELS.values() if not k.per_planes)):
                key = (needed, M, N) if KERNELS[needed].per_planes else (needed, 0, 0)
                if key not in _compiled:
                    _compiled[key] = _compile(*key)
                    if not library.paconv_install(needed.encode(), *key[1:], _compiled[key].address):
                        raise ValueError(f"the shim does not know the kernel {needed}")
    except Exception as error:  # a C caller can't take it: say it here, and the shim refuses the node
        print(f"paconv: compiling the kernels for M={M}, N={N} failed: {error}", file=sys.stderr)
        return False
    return True


def _compile(name: str, M: int, N: int):
    """compile_kernel with Numba's on-disk cache in our folder instead of beside the sources."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder() / "kernels")
    try:
        return compile_kernel(name, M, N)
    finally:
        numba.config.CACHE_DIR = before

"""The custom-op library for onnxruntime: the one built with the package, or one compiled here while developing.

Serving needs neither Numba nor a compiler: the library holds the kernels for every CPU of its architecture and picks
those for the highest that this machine runs, or for the one that PACONV_CPU names. With PACONV_JIT=1 the kernels are
compiled in this process.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache

from paconv import variables
from paconv.errors import PaconvError
from paconv.kernels import native
from paconv.library_build.targets import BUILT
from paconv.runtime.elf import missing_bytes

__all__ = ["active_cpu", "runnable_cpus", "library_path", "load_library"]


def library_path() -> str:
    """Path of the custom-op library, for `SessionOptions.register_custom_ops_library` and for any other program.

    Returns:
        The library's path. With PACONV_JIT=1 it is a library made for this process alone.

    Raises:
        PaconvError: The library isn't built, or was built from other sources than those installed.
    """
    if variables.jit():
        if importlib.util.find_spec("numba") is None:
            raise PaconvError('PACONV_JIT=1 compiles kernels with Numba: pip install "numba>=0.61.2", or unset it')
        from paconv.runtime.jit import jit_library_path

        return jit_library_path()
    load_library()
    return str(BUILT)


def runnable_cpus() -> list[str]:
    """The CPUs whose kernels this machine runs, highest first: the values that PACONV_CPU may have here."""
    text = ctypes.create_string_buffer(1024)
    load_library().paconv_cpus(0, text, len(text))
    return text.value.decode().split()


def active_cpu() -> str:
    """The CPU whose kernels sessions get: PACONV_CPU's, or the highest; "jit" under PACONV_JIT=1."""
    return "jit" if variables.jit() else variables.cpu() or runnable_cpus()[0]


@cache
def load_library() -> ctypes.CDLL:
    """The built library, checked against the sources. Raises PaconvError as library_path does."""
    how = "`pip install .` or `paconv build-library` builds it"
    if not BUILT.exists():
        raise PaconvError(f"the custom-op library {BUILT} isn't built: {how}")
    try:
        missing = missing_bytes(BUILT)
        if missing:
            raise OSError(f"it is cut off, {missing:,} bytes are missing")
        library = ctypes.CDLL(str(BUILT))
        library.paconv_library_info.restype = ctypes.c_char_p
        found = library.paconv_library_info().decode()
    except (OSError, AttributeError) as error:
        raise PaconvError(f"the custom-op library {BUILT} can't be loaded: {error}; {how} anew") from error
    if found != native.library_info():
        raise PaconvError(
            f"the custom-op library {BUILT} was built from other sources: expected (version, opset, fingerprint) "
            f"{native.library_info()}; found {found}; {how} anew"
        )
    library.paconv_cpus.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    library.paconv_cpus.restype = ctypes.c_size_t
    library.paconv_rates_path.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    library.paconv_rates_path.restype = ctypes.c_size_t
    library.paconv_set_listener.argtypes = [ctypes.c_void_p]
    library.paconv_kernel.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64]
    library.paconv_kernel.restype = ctypes.c_void_p
    return library

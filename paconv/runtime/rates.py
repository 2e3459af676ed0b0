"""Rates measured on this machine: kept in a file per machine and CPU kernels are built for, which the library reads.

The library looks for the file when a process registers it first. The same file gives the same choices.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from paconv.errors import PaconvError
from paconv.files import write_text
from paconv.kernels.rates import Rates
from paconv.kernels.registry import kind_number
from paconv.runtime.library import active_cpu, load_library

__all__ = ["rates_path", "store_rates"]


def rates_path(cpu: str | None = None) -> Path:
    """This machine's file of rates for `cpu` (the active one by default). PaconvError where no folder is known."""
    text = ctypes.create_string_buffer(1024)
    if not load_library().paconv_rates_path((cpu or active_cpu()).encode(), text, len(text)):
        raise PaconvError("no folder for measured rates: expected PACONV_CACHE, XDG_CACHE_HOME or HOME to be set")
    return Path(text.value.decode())


def store_rates(rates: Rates, cpu: str | None = None) -> Path:
    """Write the rates for sessions of later processes, and of this one where none was opened; returns the file.

    Raises PaconvError if it can't be written.
    """
    path = rates_path(cpu)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PaconvError(f"cannot make the cache folder {path.parent}: {error.strerror}; set PACONV_CACHE") from error
    lines = [f"planes {M} {N} {ns:.4g}" for (M, N), ns in rates.planes.items()]
    lines += [f"codes {kind_number(kind)} 0 {ns:.4g}" for kind, ns in rates.codes.items()]
    write_text(path, "\n".join(lines) + "\n")
    return path

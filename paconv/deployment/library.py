"""The custom-op library as a file to ship: is it one, and for which processor?"""

from __future__ import annotations

import struct
from pathlib import Path

from paconv.errors import UsageError

__all__ = ["library_machine"]

_MACHINES = {62: "x86-64", 183: "aarch64", 243: "riscv64"}
_SHARED_OBJECT = 3


def library_machine(path: Path) -> str:
    """Processor that the Linux shared library at `path` is for, such as "x86-64".

    Raises UsageError if the file is missing, no 64-bit little-endian ELF shared object, or exports no custom ops.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"library {path}: cannot be read: {error.strerror or error}") from error
    # ELF64 header: magic, class 2 (64 bits), data 1 (little-endian), ...; e_type and e_machine at byte 16.
    if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01":
        raise UsageError(f"library {path}: expected a 64-bit Linux shared library (ELF), found a file of another kind")
    kind, machine = struct.unpack_from("<HH", data, 16)
    if kind != _SHARED_OBJECT or b"RegisterCustomOps\0" not in data:
        raise UsageError(f"library {path}: expected a shared library that exports RegisterCustomOps, found none")
    return _MACHINES.get(machine, f"ELF machine {machine}")

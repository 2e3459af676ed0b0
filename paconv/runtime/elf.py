"""Is a shared library of Linux whole? One that is cut off is mapped, and a process that touches what is missing dies.

An ELF file of 64 bits has at byte 32 where its program headers begin, at 54 and 56 how long one is and how many there
are; a header has at its byte 8 where its segment lies in the file, at 32 how long it is there. Little-endian.
"""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["missing_bytes"]

_MAGIC = b"\x7fELF\x02\x01"
_HEADER = 64


def missing_bytes(path: Path) -> int:
    """How many bytes the file is too short for its segments; 0 for a file of another kind. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_HEADER)
        if len(start) < _HEADER or not start.startswith(_MAGIC):
            return 0
        (offset,) = struct.unpack_from("<Q", start, 32)
        length, count = struct.unpack_from("<HH", start, 54)
        file.seek(min(offset, size))
        headers = file.read(length * count)
    ends = [offset + length * count]
    for at in range(0, len(headers) - length + 1, length or 1):
        ends.append(sum(struct.unpack_from("<Q16xQ", headers, at + 8)))
    return max(0, max(ends) - size)

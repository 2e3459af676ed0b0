"""One process at a time in a folder: a lock that the system releases when its process ends, however it ends.

The lock is a POSIX record lock on FOLDER/.lock, which works over NFS too. Processes forked from the one that holds it
don't inherit it. The file is removed when the work is done; of a process that was killed it stays, unlocked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EAGAIN
from pathlib import Path

from paconv.errors import PaconvError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["LOCK", "locked"]

LOCK = ".lock"

_held: set[str] = set()
"""Folders that this process holds: to the system they are free for it."""


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Within it, no other process gets a lock on `folder`, which is there. what: "training", for the message.

    Raises UsageError where there is another one at work, PaconvError where the folder can't be written to. A file
    system without locks is used without.
    """
    path, key = folder / LOCK, os.path.realpath(folder)
    busy = UsageError(f"{folder}: another {what} is at work there; wait for it, stop it, or name another folder")
    if key in _held:
        raise busy
    handle = _opened(path, busy)
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        path.unlink(missing_ok=True)
        os.close(handle)


def _opened(path: Path, busy: UsageError) -> int:
    """A handle of the file, with its lock."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise PaconvError(f"cannot write to {path.parent}: {error.strerror or error}") from error
        if fcntl is None:
            return handle
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (EACCES, EAGAIN):
                return handle
            os.close(handle)
            raise busy from error
        if _is_there(path, handle):
            return handle
        os.close(handle)  # another process was done with it, and removed it, in between


def _is_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False

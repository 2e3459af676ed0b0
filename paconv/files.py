"""Writing files so that a failure never leaves half a file or destroys an old one."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paconv.errors import PaconvError

__all__ = ["make_folder", "need_own", "replacing", "write_bytes", "write_text"]


def make_folder(path: str | os.PathLike) -> Path:
    """`path` as a folder that is there, with all above it. Raises PaconvError if it can't be made."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PaconvError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def need_own(folder: Path, instead: str) -> None:
    """Refuse a folder whose files are going to be run, and that others can have put there or can write to.

    Raises PaconvError that ends with `instead` unless the folder is this user's or root's, no link, and only its
    owner's group may write to it. Where there are no such owners it does nothing.
    """
    if not hasattr(os, "geteuid"):
        return
    about = folder.lstat()
    if stat.S_ISLNK(about.st_mode):
        raise PaconvError(f"{folder}: expected a folder of this user; found a link; {instead}")
    if about.st_uid not in (os.geteuid(), 0):
        raise PaconvError(f"{folder}: expected a folder of this user; found one of user {about.st_uid}; {instead}")
    if about.st_mode & stat.S_IWOTH:
        raise PaconvError(f"{folder}: expected a folder that others can't write to; found one they can; {instead}")


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on failure removed.

    Raises PaconvError if the folder is missing or can't be written to.
    """
    path = Path(path)
    if path.is_symlink():  # a link stays a link: what it points to is replaced
        path = Path(os.path.realpath(path))
    if path.is_dir():
        raise PaconvError(f"cannot write {path}: it is a directory; give a file name")
    if path.exists() and not path.is_file():
        raise PaconvError(f"cannot write {path}: it is a device or pipe, which can't be replaced; give a file name")
    if not path.parent.is_dir():
        raise PaconvError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except FileNotFoundError as error:  # the folder exists: /proc, /sys
        raise PaconvError(f"cannot write {path}: the folder {path.parent} takes no files; give another") from error
    except OSError as error:
        raise PaconvError(f"cannot write {path}: {error.strerror or error}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _keep_mode(temporary, path)
        os.replace(temporary, path)
    except OSError as error:
        raise PaconvError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path` by way of a temporary file. Raises PaconvError if that can't be done."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 to `path` by way of a temporary file. Raises PaconvError likewise."""
    write_bytes(path, text.encode())


def _keep_mode(temporary: Path, path: Path) -> None:
    """Give the new file the mode of the one it replaces, or that of a file newly made by open()."""
    try:
        mode = path.stat().st_mode & 0o7777
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    temporary.chmod(mode)

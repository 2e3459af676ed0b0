"""Writing a whole folder so that a failure never leaves half of it or destroys what others put there."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from paconv.errors import PaconvError

__all__ = ["replacing_folder"]


@contextmanager
def replacing_folder(target: Path, ours: frozenset[str], *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; on success it is renamed to `target`, on failure removed.

    The folder above `target` is made if it is missing (and goes again on failure). A `target` with files in it is
    replaced only with `force`, and only if `ours` names each of its files, as paths relative to it.

    Raises PaconvError if `target` can't be replaced or written.
    """
    _check_replaceable(target, ours, force)
    if not target.parent.is_dir() and not target.parent.parent.is_dir():
        missing = target.parent.parent
        raise PaconvError(f"cannot write {target}: the folder {missing} does not exist; create it first")
    made_parent = False
    temporary = _beside(target)
    try:
        if not target.parent.is_dir():
            target.parent.mkdir()
            made_parent = True
        temporary.mkdir()
        yield temporary
        _swap(temporary, target)
        made_parent = False
    except OSError as error:
        raise PaconvError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if made_parent:
            with suppress(OSError):  # someone else may have put a file there meanwhile: then it stays
                target.parent.rmdir()


def _check_replaceable(target: Path, ours: frozenset[str], force: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise PaconvError(f"cannot write {target}: it is a {'link' if target.is_symlink() else 'file'}; move it away")
    if not target.is_dir():
        return
    found = sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_symlink() or not p.is_dir())
    if found and not force:
        raise PaconvError(f"cannot write {target}: it holds {found[0]}; choose another name, or replace it (--force)")
    strange = [name for name in found if name not in ours]
    if strange:
        raise PaconvError(f"cannot replace {target}: it holds {strange[0]}, which is not ours; move it away first")


def _swap(temporary: Path, target: Path) -> None:
    """Put `temporary` in the place of `target`; if that fails, `target` is what it was."""
    if not target.exists():
        os.rename(temporary, target)
        return
    old = _beside(target)
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")

"""What a step of a comparison found, kept as JSON in its folder, so that a comparison that was stopped goes on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from paconv.errors import UsageError
from paconv.files import write_text

__all__ = ["read_record", "write_record"]

Found = TypeVar("Found")


def read_record(path: Path, kind: type[Found], what: str, again: str) -> Found | None:
    """The record of dataclass `kind` in the file `path`, None where there is none.

    Raises UsageError for a file that isn't one; what: of what it is the record; again: what is done
    again without it.
    """
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: expected the record of a {what}: {error}; delete it to {again} again") from error


def write_record(record: object, path: Path) -> None:
    """Write a dataclass of JSON values. Raises PaconvError if that can't be done."""
    write_text(path, json.dumps(asdict(record), indent=1))  # type: ignore[call-overload]

"""The releases of torch that paconv is tested with, and a warning at any other. Other releases are not refused."""

from __future__ import annotations

import re
import warnings

__all__ = ["NEWEST", "OLDEST", "warn_if_untested"]

OLDEST, NEWEST = (2, 9), (2, 14)
"""Tested from the one to the other: (major, minor)."""


def warn_if_untested(version: str) -> None:
    """One line of warning, a UserWarning, unless `version` of torch ("2.13.0+cpu") is from OLDEST to NEWEST."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is not None and OLDEST <= tuple(map(int, found.groups())) <= NEWEST:
        return
    oldest, newest = (".".join(map(str, release)) for release in (OLDEST, NEWEST))
    message = f"torch {version}: paconv is tested with {oldest} to {newest} (`paconv verify` checks an export)"
    # No file and line: those would be a lazy import's, and Python would print that line of code below.
    warnings.warn_explicit(message, UserWarning, "paconv", 0)

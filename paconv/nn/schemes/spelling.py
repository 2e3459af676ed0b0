"""A scheme and its planes in one word, as command lines and reports have it: pa:4,5, pa:4,full, dorefa:2,2, bireal."""

from __future__ import annotations

from paconv.errors import UsageError
from paconv.nn.schemes.registry import DEFAULT, make_scheme
from paconv.nn.schemes.scheme import Scheme

__all__ = ["FULL", "parse_planes", "parse_scheme"]

FULL = "full"
"""N of full-precision activations."""


def parse_planes(text: str, what: str) -> int | None:
    """A number of planes, or None for "full". Raises UsageError, naming `what`, for anything else."""
    if text == FULL:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{what}: expected a whole number or {FULL}, found {text!r}") from error


def parse_scheme(text: str) -> Scheme:
    """The scheme that NAME, NAME:M or NAME:M,N names; what isn't given is the scheme's own.

    Raises UsageError for an unknown scheme and for planes that it can't have.
    """
    name, colon, planes = text.partition(":")
    given = planes.split(",") if colon else []
    if len(given) > 2:
        raise UsageError(f"{text}: expected NAME, NAME:M or NAME:M,N, such as pa:4,5 or pa:4,{FULL}")
    M = parse_planes(given[0], text) if given else DEFAULT
    N = parse_planes(given[1], text) if len(given) > 1 else DEFAULT
    return make_scheme(name, M, N)  # type: ignore[arg-type]  # M=None is refused there

"""Schemes as every command spells them, NAME[:M[,N]]: pa:4,5, pa:4,full, dorefa:2,2, bireal. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import click

from paconv.errors import UsageError
from paconv.near import did_you_mean

__all__ = ["FULL", "METAVAR", "SchemeType", "Spelled", "parse_planes", "given_planes"]

METAVAR = "SCHEME[:M,N]"

FULL = "full"
"""N of full-precision activations."""

_DIGITS = ",digits"


@dataclass(frozen=True)
class Spelled:
    """A scheme's name and the planes that were given with it."""

    name: str
    M: int | None = None
    """None where it isn't given."""
    N: int | str | None = None
    """FULL for full-precision activations; None where it isn't given."""
    digits: bool = False
    """Whether planes are binary digits of evenly spaced levels."""


class SchemeType(click.ParamType):
    """SCHEME, SCHEME:M or SCHEME:M,N, its name among `names`; pa:M,N,digits too where `digits` may be asked for."""

    name = "scheme"

    def __init__(self, names: Collection[str], *, digits: bool = False):
        self.names, self.digits = names, digits

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Spelled:
        if isinstance(value, Spelled):
            return value
        name, colon, text = value.partition(":")
        if name not in self.names:
            word, digits = re.fullmatch(r"(.*?)[-_ ]?(\d.*)?", name, re.DOTALL).groups("")  # type: ignore[union-attr]
            planes = colon + text or (f":{digits}" if digits else "")
            near = did_you_mean(word, self.names, planes) or "; planes go behind a colon: pa:4,5"
            self.fail(f"{name!r} is not one of {', '.join(self.names)}{near}", param, ctx)
        by_digits = self.digits and name == "pa" and text.count(",") == 2 and text.endswith(_DIGITS)
        M, comma, N = (text.removesuffix(_DIGITS) if by_digits else text).partition(",")
        if colon and (not M.isdecimal() or (comma and N != FULL and not N.isdecimal())):
            examples = f"pa:4,5, pa:4,{FULL} or pa:5,7{_DIGITS}" if self.digits else f"pa:4,5 or pa:4,{FULL}"
            self.fail(
                f"expected {param.metavar if param else METAVAR}, such as {examples}; found {value!r}", param, ctx
            )
        return Spelled(name, int(M) if colon else None, (FULL if N == FULL else int(N)) if comma else None, by_digits)


def parse_planes(text: str, option: str) -> int | str:
    """What an option says of N: a number of planes, or FULL. Raises UsageError, naming the option."""
    if text == FULL:
        return FULL
    if not text.isdecimal():
        raise UsageError(f"{option}: expected a number of planes or {FULL}; found {text}")
    return int(text)


def given_planes(scheme: Spelled, M: int | None, N: str | None) -> tuple[int | None, int | str | None]:
    """M and N (FULL for full precision, None where neither says), from the scheme's spelling or from -M and -N.

    Raises UsageError where both say it.
    """
    planes = None if N is None else parse_planes(N, "-N")
    if (scheme.M is not None and M is not None) or (scheme.N is not None and planes is not None):
        raise UsageError(f"--scheme {scheme.name}:M,N has the planes already; leave out -M and -N")
    return scheme.M if M is None else M, scheme.N if planes is None else planes

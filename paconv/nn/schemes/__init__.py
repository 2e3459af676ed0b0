"""The quantization schemes of the paper's comparison, one per file, behind one interface (paconv.nn.schemes.scheme)."""

from __future__ import annotations

from paconv.nn.schemes.registry import DEFAULT, SCHEMES, Default, make_scheme
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.schemes.spelling import parse_planes, parse_scheme

__all__ = ["DEFAULT", "SCHEMES", "Default", "Scheme", "make_scheme", "parse_planes", "parse_scheme"]

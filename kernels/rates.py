"""How long the accumulate functions take, by which a node's kernel is chosen.

A rate is nanoseconds for one vector of LANES output channels, one pixel and 32 input channels of one window position:
one word of bit planes, or eight words of level codes. A file of rates that were measured on the machine itself
(`paconv inspect --measure`, paconv/runtime/rates.py) goes before those that the library ships.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.kernels.levels import Level
from paconv.kernels.registry import KERNELS

__all__ = ["Rates", "rates_of"]


@dataclass(frozen=True)
class Rates:
    """planes: (M, N) -> nanoseconds; codes: D -> nanoseconds."""

    planes: dict[tuple[int, int], float]
    codes: dict[int, float]


_SHIPPED = {
    "x86-64-v2": (4.6, {1: 28.5, 2: 78.0}),
    "x86-64-v3": (2.1, {1: 6.4, 2: 20.5}),
    "x86-64-v4": (2.03, {1: 7.0, 2: 18.8}),
    "x86-64-v4-vpopcntdq": (0.41, {1: 2.67, 2: 6.5}),
}
"""Level -> nanoseconds of one plane pair (the time is proportional to M*N within 10 %), and of codes. Measured at all
levels on one AMD EPYC of the Zen 4 family; only the ratios matter."""

_UNMEASURED = (1.0, {1: 1e6, 2: 1e6})
"""Levels that were never measured run bit planes."""


def rates_of(level: Level) -> Rates:
    """The rates that the library ships for a CPU level."""
    pair, codes = _SHIPPED.get(level.name, _UNMEASURED)
    return Rates({(M, N): pair * M * N for M, N in KERNELS["accumulate"].variants}, codes)

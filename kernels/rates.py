"""How long the accumulate functions take, by which a node's kernel is chosen.

A rate is nanoseconds for one vector of LANES output channels, one pixel and 32 input channels of one window position:
one word of bit planes, or eight or sixteen words of level codes. A file of rates that were measured on the machine
itself (`paconv inspect --measure`, paconv/runtime/rates.py) goes before those that the library ships.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.kernels.formats import FORMATS
from paconv.kernels.levels import Level
from paconv.kernels.registry import KERNELS

__all__ = ["Rates", "rates_of"]


@dataclass(frozen=True)
class Rates:
    """planes: (M, N) -> nanoseconds; codes: number of a format that the CPU level has -> nanoseconds."""

    planes: dict[tuple[int, int], float]
    codes: dict[int, float]


_SHIPPED = {
    "x86-64-v2": (2.13, {"byte": 13.4, "word": 10.8}),
    "x86-64-v3": (0.98, {"byte": 5.25, "word": 4.44}),
    "x86-64-v4": (0.5, {"byte": 2.54, "word": 2.21}),
    "x86-64-v4-vpopcntdq": (0.18, {"byte": 0.93, "word": 1.96}),
    "x86-64-v4-amx": (0.55, {"byte": 0.3, "word": 3.0, "two-bytes": 0.9}),
}
"""Level -> nanoseconds of one plane pair (the time is proportional to M*N within 10 %), and of codes. Only the ratios
matter. Measured on one AMD EPYC of the Zen 5 family, but for AMX: there, counted from the inner loops' instructions at
2.7 GHz (16 cycles a tile product, with half as much again for all else; two VPDPWSSD a cycle; 1.5 cycles for AND,
VPOPCNTD and add).
"""

_UNMEASURED = 1e6
"""What level codes take at levels that were never measured: these run bit planes."""


def rates_of(level: Level) -> Rates:
    """The rates that the library ships for a CPU level."""
    pair, codes = _SHIPPED.get(level.name, (1.0, {}))
    return Rates(
        {(M, N): pair * M * N for M, N in KERNELS["accumulate"].variants},
        {FORMATS[name].number: codes.get(name, _UNMEASURED) for name in level.products},
    )

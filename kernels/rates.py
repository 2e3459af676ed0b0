"""How long the accumulate functions take, by which a node's kernel is chosen.

A rate is nanoseconds for one vector of LANES output channels, one pixel and 32 input channels of one window position:
one word of bit planes, or eight words of level codes. A file of rates that were measured on the machine itself
(`paconv inspect --measure`, paconv/runtime/rates.py) goes before those that the library ships.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.kernels.cpus import Cpu
from paconv.kernels.registry import KINDS, plane_pairs

__all__ = ["Rates", "rates_of"]


@dataclass(frozen=True)
class Rates:
    """planes: (M, N) -> nanoseconds; codes: a kind of KINDS that the CPU has -> nanoseconds."""

    planes: dict[tuple[int, int], float]
    codes: dict[str, float]


_SHIPPED = {
    "x86-64-v2": (2.13, {"narrow": 5.0, "wide": 13.0}),
    "x86-64-v3": (0.98, {"narrow": 3.0, "wide": 6.5}),
    "x86-64-v4": (0.5, {"narrow": 1.1, "wide": 2.6}),
    "x86-64-v4-vpopcntdq": (0.18, {"dot": 0.75}),
    "x86-64-v4-amx": (0.18, {"dot": 0.75, "tiles": 0.33}),
    "armv8-a": (1.0, {"narrow": 4.0}),
    "armv8.2-a-dotprod": (1.0, {"dot": 2.0}),
}
"""CPU -> nanoseconds of one plane pair (the time is proportional to M*N within 10 %), and of codes. Only the ratios
matter: they lie between those measured on an AMD EPYC of the Zen 5 family and on an Intel Xeon with AMX, which has one
port for VPOPCNTD where the other has two. Those of aarch64 are counted from instructions.
"""


def rates_of(cpu: Cpu) -> Rates:
    """The rates that the library ships for a CPU."""
    pair, codes = _SHIPPED[cpu.name]
    return Rates({(M, N): pair * M * N for M, N in plane_pairs()}, {k: codes[k] for k in KINDS if k in codes})

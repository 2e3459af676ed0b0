"""Multiply-accumulates per cycle, counted from the instructions of an inner loop and the ports that run them.

    a step of `instructions` instructions on `ports` vector ports gives `macs` multiply-accumulates of one product:

        macs per cycle = macs * ports / (instructions * products)

Per 512 bits, AND + popcount + add are three instructions on two ports, 1.5 cycles, 341 bit pairs per cycle; float has
two FMA of 16 lanes per cycle. So with M N bit pairs for a multiply-accumulate, bit planes can beat float only where
M N < 341 / 32 = 10.7, and level codes by 128 / 32 = 4 at most (two VPDPBUSD of 64 products). Without VNNI, VPMADDUBSW
and VPADDW are two instructions, and codes beat float by 2 where both share two ports. Which ports a CPU has differs
(some run AND and add on four): the measured peak overrides this count.
"""

from __future__ import annotations

from dataclasses import dataclass

from paconv.bench.peaks import products

__all__ = ["STEPS", "Step", "macs_per_cycle"]


@dataclass(frozen=True)
class Step:
    """A step of an inner loop."""

    names: tuple[str, ...]
    """Its instructions."""
    macs: int
    """Multiply-accumulates of one product that they give together."""
    ports: int = 2
    """That can run them."""

    def macs_per_cycle(self) -> float:
        return self.macs * self.ports / len(self.names)


STEPS = {
    "x86-64-v4-vpopcntdq": {
        "float": Step(("VFMADD231PS",), 16),
        "planes": Step(("VPANDD", "VPOPCNTD", "VPADDD"), 512),
        "dot": Step(("VPDPBUSD",), 64),
    },
    "x86-64-v4": {"float": Step(("VFMADD231PS",), 16), "narrow": Step(("VPMADDUBSW", "VPADDW"), 64)},
    "x86-64-v3": {"float": Step(("VFMADD231PS",), 8), "narrow": Step(("VPMADDUBSW", "VPADDW"), 32)},
}
"""CPU -> kernel, or kind of level codes -> its step, for those whose inner loop is one instruction sequence
worth counting.
"""


def macs_per_cycle(cpu: str, kernel: str, planes: tuple[int, int] = (1, 1), coding: str = "") -> float | None:
    """Multiply-accumulates per cycle of "float" or of a kernel for a layer; None for a CPU that isn't counted."""
    step = STEPS.get(cpu, {}).get(coding or kernel)
    if step is None:
        return None
    return step.macs_per_cycle() / (1 if kernel == "float" else products(kernel, planes))

"""Rates for a machine that nothing was measured on: which of two networks is faster, not how many milliseconds.

The inner loops of PABitConv have the rates that the library ships for the CPU, which its choice of kernels goes
by (kernels/rates.py). All else is counted in the same nanoseconds, in which only ratios matter:

    float        onnxruntime's convolution of 3x3 windows: what its instructions can do beside those of the kernels'
                 inner loops, at 0.87 of their peak
    around it    other convolutions, comparing, scaling and moving data, beside 3x3 windows in float: as `paconv cost
                 --host` fitted them on an Intel Xeon with AMX, rounded
"""

from __future__ import annotations

from collections.abc import Iterable

from paconv.bits import WORD_BITS
from paconv.cost.host.model import HostModel
from paconv.kernels.arguments import LANES
from paconv.kernels.cpus import Cpu
from paconv.kernels.rates import rates_of
from paconv.measure.machine import cpu_name

__all__ = ["shipped_host"]

_FLOAT = {
    "x86-64-v2": 34.0,  # a multiplication and an addition of 4 each cycle
    "x86-64-v3": 10.5,
    "x86-64-v4": 4.0,
    "x86-64-v4-vpopcntdq": 4.0,
    "x86-64-v4-amx": 4.0,
    "armv8-a": 8.0,
    "armv8.2-a-dotprod": 8.0,
}
"""Cpu -> nanoseconds of LANES * WORD_BITS multiply-accumulates in float."""

_NODE = 1e-6

_AROUND = {"element": 15.0, "weight": 6.0, "row_endpoint": 100.0, "element_endpoint": 3.0, "bit_output": 1.25,
           "bit_output_pair": 4.5, "code_element": 11.0, "code_endpoint": 4.0, "code_output": 60.0,
           "moved": 6.5}  # fmt: skip
"""Unit -> how many multiply-accumulates in float it takes as long as. bit_output_pair: for each of M N counts."""

_CLASSES = {"window": 1.0, "pointwise": 1.0, "shallow": 1.2, "depthwise": 1.5, "linear": 6.5}
"""Class of a float layer -> the same for its multiply-accumulates."""


def shipped_host(cpu: Cpu, planes: Iterable[tuple[int, int]]) -> HostModel:
    """The model of any machine with this CPU, for one thread, with rates for these (M, N)."""
    rates = rates_of(cpu)
    mac = _FLOAT[cpu.name] * 1e-9 / (LANES * WORD_BITS)
    around = {unit: count * mac for unit, count in _AROUND.items()}
    pairs = {
        (M, N): {
            "word": rates.planes[M, N] * 1e-9 / (LANES * M * N),
            "output": around["bit_output"] + M * N * around["bit_output_pair"],
        }
        for M, N in planes
    }
    return HostModel(
        identity={"cpu": cpu_name(), "threads": 1, "level": cpu.name},
        gather={"node": _NODE, **{unit: around[unit] for unit in ("row_endpoint", "element_endpoint")}},
        planes=pairs,
        codes={
            "node": _NODE,
            "element": around["code_element"],
            "element_endpoint": around["code_endpoint"],
            "product": min(rates.codes.values()) * 1e-9 / (LANES * WORD_BITS),
            "output": around["code_output"],
        },
        real={
            "node": _NODE,
            **{f"mac_{name}": count * mac for name, count in _CLASSES.items()},
            "element": around["element"],
            "weight": around["weight"],
        },
        element=around["moved"],
        integer_mac=0.0,
    )

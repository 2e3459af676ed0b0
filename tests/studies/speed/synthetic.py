"""Comparisons whose times are given: nothing is run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from paconv.bench.int8_form import REDUCED, Advice
from paconv.bench.output_error import OutputError
from paconv.bench.peaks import HostPeaks
from paconv.measure.timing import Timing
from paconv.studies.speed.builds import Build
from paconv.studies.speed.comparison import Comparison, Options
from paconv.studies.speed.layers import WINDOWS
from paconv.studies.speed.measured import FLOAT, INT8, LARQ, PA, SIGNS, Measured
from paconv.studies.speed.memory import Served

PAIRS = ((1, 1), (4, 5))

ENVIRONMENT: dict[str, Any] = {
    "cpu": "Synthetic 1", "instructions": ["avx2", "avx512_vnni"], "cores": 2, "memory_bytes": 2**34,
    "system": "Linux 6, x86_64", "versions": {"paconv": "0", "onnxruntime": "1"}, "level": "x86-64-v4-vpopcntdq",
    "kernels": "k", "variables": {}, "date": "2026-01-02T03:04:05+00:00", "load": 0.5,
}  # fmt: skip

PEAKS = HostPeaks(
    "x86-64-v4-vpopcntdq", {"planes": 1e12}, {(1, 1): 0.9e12, (4, 5): 0.04e12, (2, 2): 0.2e12},
    {"dot": 1e11},
)  # fmt: skip


ADVICE = Advice(REDUCED, "x86-64 without VNNI", saturates=True)

ERRORS = {"form": REDUCED.name, "error": OutputError(0.5, 0.0125), "u8s8_error": OutputError(12.0, 0.3)}


def timing(best: float) -> Timing:
    return Timing(best, 2 * best, 10)


def layers(float_best: float = 8e-3) -> list[Measured]:
    """float takes 8 ms, int8 2 ms, Larq 40 ms, PA(1,1) 1 ms (+-1: 2 ms), PA(4,5) 8 ms on planes and 4 ms on codes."""
    found = []
    for layer in WINDOWS:
        for threads in (1, 2):

            def made(best: float, what: str, layer=layer, threads=threads, **fields: Any) -> Measured:
                return Measured(layer.name, what, threads, timing(best / threads), layer.macs, **fields)

            found += [
                made(float_best, FLOAT), made(2e-3, INT8, **ERRORS), made(40e-3, LARQ),
                made(1e-3, PA, planes=(1, 1), kernel="planes", ran=(("planes", 1),), chosen=True),
                made(2e-3, PA, planes=(1, 1), levels=SIGNS, kernel="planes", ran=(("planes", 1),), chosen=True),
                made(8e-3, PA, planes=(4, 5), kernel="planes", ran=(("planes", 1),)),
                made(4e-3, PA, planes=(4, 5), kernel="codes", ran=(("codes", 1),), coding="dot", chosen=True),
            ]  # fmt: skip
    return found


def networks() -> list[Measured]:
    """float ResNet18 takes 20 ms, int8 8 ms, PA(4,5) 10 ms, +-1 4 ms, Larq's 100 ms; two threads: 2/3."""
    found = [
        Measured("resnet18", FLOAT, 1, timing(20e-3)),
        Measured("resnet18", INT8, 1, timing(8e-3), **ERRORS),
        Measured("resnet18", PA, 1, timing(10e-3), planes=(4, 5), kernel="auto", ran=(("codes", 19),), nodes_best=6e-3),
        Measured("bireal18", PA, 1, timing(4e-3), planes=(1, 1), levels=SIGNS, kernel="auto", nodes_best=1e-3),
        Measured("BiRealNet", LARQ, 1, timing(100e-3)),
    ]
    two = [replace(m, threads=2, timing=timing(m.timing.best / 1.5), nodes_best=None) for m in found]
    alone = [replace(m, spinning=True) for m in (found + two) if m.what == FLOAT or m.kernel == "auto"]
    return [*found, *two, *alone, Measured("resnet18", PA, 1, timing(50e-3), planes=(4, 5), kernel="stock")]


def comparison(**changed: Any) -> Comparison:
    made = Comparison(
        ENVIRONMENT, Options().as_data(), PEAKS, {"larq-compute-engine": "0"}, ADVICE, layers(), networks(),
        [
            Build("resnet18", (4, 5), 1_030_000, 1_000_000.0, 0.5),
            Build("resnet50", (4, 5), 2_000_000, 2_000_000.0, 20.0),
            Build("bireal18", (1, 1), 900_000, 1_000_000.0, None, SIGNS),
        ],
        [
            Served("resnet50", FLOAT, None, 0.5, 0.04, 400_000_000, 50_000_000),
            Served("resnet50", PA, (4, 5), 1.0, 0.05, 200_000_000, 60_000_000),
        ],
        "bireal18",
    )  # fmt: skip
    return replace(made, **changed)

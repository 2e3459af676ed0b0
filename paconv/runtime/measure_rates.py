"""Measuring the accumulate functions of the library, the rates that kernels are chosen by (kernels/rates.py)."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

import numpy as np

from paconv.bits import WORD_BITS
from paconv.errors import UsageError
from paconv.kernels.arguments import LANES
from paconv.kernels.blocking import blocking
from paconv.kernels.cpus import Cpu, Multiplier, find_cpu
from paconv.kernels.rates import Rates
from paconv.kernels.registry import FAMILIES, kind_number, plane_pairs
from paconv.runtime.library import load_library, runnable_cpus

__all__ = ["measure_rates"]

_ACCUMULATE, _ACCUMULATE_CODES = (
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(FAMILIES[name].arguments))
    for name in ("accumulate", "accumulate_codes")
)
_SHORT, _LONG = 18, 144
"""Words of 32 channels in the two windows that are measured, 3x3 windows of 64 and of 512 channels: the difference is
free of what a call costs.
"""

_WINDOW = 9
"""Positions of these windows: how many times as many words a window has as there are from one pixel to the next."""

_PER_32 = WORD_BITS // 4
"""Words of codes for 32 channels."""

_SPAN = 32
"""Words of a span of 16 bits: at least what the default grid's products allow."""


def measure_rates(
    cpu: str, seconds: float = 0.01, progress: Callable[[int, int], None] = lambda done, total: None
) -> Rates:
    """Rates of the accumulate functions for `cpu` on this machine, each the best of several calls.

    Args:
        cpu: One whose kernels this machine runs.
        seconds: That the calls of one function take.
        progress: Called with (done, total) rates.

    Raises:
        UsageError: This machine doesn't run the kernels for `cpu`.
        PaconvError: There is no library.
    """
    runs = runnable_cpus()  # which also asks for the permission to use AMX
    if cpu not in runs:
        raise UsageError(f"CPU {cpu!r}: expected one that this machine runs: {', '.join(runs)}")
    about = find_cpu(cpu)
    pairs, planes, codes = plane_pairs(), {}, {}
    for number, pair in enumerate(pairs):
        progress(number, len(pairs) + len(about.multipliers))
        planes[pair] = _planes_rate(about, *pair, seconds)
    for number, (kind, multiplier) in enumerate(about.multipliers.items()):
        progress(len(pairs) + number, len(pairs) + len(about.multipliers))
        codes[kind] = _codes_rate(cpu, kind, multiplier, seconds)
    return Rates(planes, codes)


def _planes_rate(cpu: Cpu, M: int, N: int, seconds: float) -> float:
    plan = blocking(M, N, cpu.budget)
    functions = {part: _ACCUMULATE(_address(cpu.name, "accumulate", part)) for part in plan.sub_blocks}
    P = plan.pixels
    image, weights, counts = (_memory(size) for size in ((P + _LONG) * N, _LONG * M * LANES, P * M * N * LANES))
    pixel_offsets, tap_offsets = np.arange(P, dtype=np.int64) * 4 * N, np.zeros(1, np.int64)
    addresses = image.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data

    def call(words: int) -> None:
        for part in plan.sub_blocks:
            functions[part](P, *addresses, 1, words, weights.ctypes.data, counts.ctypes.data, M, N)

    return _nanoseconds(call, 1, seconds) / P


def _codes_rate(cpu: str, kind: str, multiplier: Multiplier, seconds: float) -> float:
    function = _ACCUMULATE_CODES(_address(cpu, "accumulate_codes", (kind_number(kind), 0)))
    blocks, P = multiplier.blocks, multiplier.pixels
    image = _memory((P + _WINDOW) * _LONG * _PER_32 // _WINDOW)
    weights = _memory(blocks * _LONG * _PER_32 * LANES)
    start, dots = _memory(blocks * LANES), _memory(blocks * P * LANES)
    tap_offsets = np.zeros(1, np.int64)
    sizes = _SHORT * _PER_32, _LONG * _PER_32
    pixels = {words: np.arange(P, dtype=np.int64) * (words // _WINDOW * 4) for words in sizes}

    def call(words: int) -> None:
        function(
            P, blocks, image.ctypes.data, pixels[words].ctypes.data, tap_offsets.ctypes.data, 1, words, _SPAN,
            weights.ctypes.data, _LONG * _PER_32 * LANES * 4, start.ctypes.data, dots.ctypes.data,
        )  # fmt: skip

    return _nanoseconds(call, _PER_32, seconds) / (P * blocks)


def _address(cpu: str, name: str, variant: tuple[int, int]) -> int:
    return load_library().paconv_kernel(cpu.encode(), name.encode(), *variant)


def _memory(words: int) -> np.ndarray:
    """Zeros, 64-byte aligned."""
    memory = np.zeros(words + 16, np.uint32)
    return memory[-memory.ctypes.data // 4 % 16 :][:words]


def _nanoseconds(call: Callable[[int], None], words_per_32: int, seconds: float) -> float:
    """Of call(words), for 32 channels of one window position."""
    best = dict.fromkeys((_SHORT, _LONG), float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for size in best:
            start = time.perf_counter()
            call(size * words_per_32)
            best[size] = min(best[size], time.perf_counter() - start)
    return max(best[_LONG] - best[_SHORT], 1e-9) * 1e9 / (_LONG - _SHORT)

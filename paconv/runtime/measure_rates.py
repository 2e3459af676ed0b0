"""Measuring the accumulate functions of the library, the rates that kernels are chosen by (kernels/rates.py)."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from itertools import product

import numpy as np

from paconv.bits import WORD_BITS
from paconv.kernels.arguments import LANES
from paconv.kernels.formats import FORMATS
from paconv.kernels.levels import LEVELS
from paconv.kernels.rates import Rates
from paconv.kernels.registry import KERNELS
from paconv.runtime.library import load_library

__all__ = ["measure_rates"]

_ACCUMULATE = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)
_ACCUMULATE_CODES = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 12)
_SHORT, _LONG = 18, 144
"""Words of 32 channels in the two windows that are measured, 3x3 windows of 64 and of 512 channels: the difference is
free of what a call costs.
"""

_SPAN = 16
"""Words of a span of codes: what codes of 13 bits, enough for most levels, come to."""


def measure_rates(
    level: str, seconds: float = 0.01, progress: Callable[[int, int], None] = lambda done, total: None
) -> Rates:
    """Rates of the CPU level's accumulate functions on this machine: best of as many calls as fit `seconds` for each.

    progress: told (done, total) functions. Raises PaconvError where there is no library.
    """
    about = next(known for known in LEVELS if known.name == level)
    planes, codes = KERNELS["accumulate"].variants, KERNELS["accumulate_codes"].variants_at(about)
    total, found = len(planes) + len(codes), {}
    for number, (name, variant) in enumerate([*product(["accumulate"], planes), *product(["accumulate_codes"], codes)]):
        progress(number, total)
        found[name, variant] = (_planes_rate if name == "accumulate" else _codes_rate)(level, variant, seconds)
    return Rates(
        {variant: found["accumulate", variant] for variant in planes},
        {variant[0]: found["accumulate_codes", variant] for variant in codes},
    )


def _planes_rate(level: str, variant: tuple[int, int], seconds: float) -> float:
    address, P = _kernel(level, "accumulate", variant)
    function, (M, N) = _ACCUMULATE(address), variant
    image, weights, counts = (_memory(size) for size in ((P + _LONG) * N, _LONG * M * LANES, P * M * N * LANES))
    pixel_offsets, tap_offsets = np.arange(P, dtype=np.int64) * 4 * N, np.zeros(1, np.int64)
    addresses = image.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data

    def call(words: int) -> None:
        function(P, *addresses, 1, words, weights.ctypes.data, counts.ctypes.data)

    return _nanoseconds(call, 1, seconds) / P


def _codes_rate(level: str, variant: tuple[int, int], seconds: float) -> float:
    address, tile = _kernel(level, "accumulate_codes", variant)
    function, (blocks, P) = _ACCUMULATE_CODES(address), divmod(tile, 256)
    code_format = next(f for f in FORMATS.values() if f.number == variant[0])
    per_32 = WORD_BITS // code_format.channels
    image, weights = (
        _memory((P + _LONG * per_32) * code_format.D),
        _memory(blocks * _LONG * per_32 * LANES * code_format.D),
    )
    start, dots = _memory(blocks * LANES * code_format.D), _memory(blocks * P * LANES * code_format.D)
    pixel_offsets, tap_offsets = np.arange(P, dtype=np.int64) * 4, np.zeros(1, np.int64)
    addresses = image.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data

    def call(words: int) -> None:
        function(
            P, blocks, *addresses, 1, words, _SPAN, weights.ctypes.data, weights.nbytes // blocks, start.ctypes.data,
            dots.ctypes.data,
        )  # fmt: skip

    return _nanoseconds(call, per_32, seconds) / (P * blocks)


def _kernel(level: str, name: str, variant: tuple[int, int]) -> tuple[int, int]:
    """(address, tile) of a kernel."""
    tile = ctypes.c_int64(0)
    return load_library().paconv_kernel(level.encode(), name.encode(), *variant, ctypes.byref(tile)), tile.value


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

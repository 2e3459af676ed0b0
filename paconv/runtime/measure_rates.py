"""Measuring the accumulate functions of the library, the rates that kernels are chosen by (kernels/rates.py)."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

import numpy as np

from paconv.bits import WORD_BITS
from paconv.kernels.arguments import LANES, QUAD
from paconv.kernels.rates import Rates
from paconv.kernels.registry import KERNELS
from paconv.runtime.library import load_library

__all__ = ["measure_rates"]

_ACCUMULATE = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)
_SHORT, _LONG = 18, 144
"""Words of 32 channels in the two windows that are measured, 3x3 windows of 64 and of 512 channels: the difference is
free of what a call costs.
"""


def measure_rates(
    level: str, seconds: float = 0.01, progress: Callable[[int, int], None] = lambda done, total: None
) -> Rates:
    """Rates of the CPU level's accumulate functions on this machine: best of as many calls as fit `seconds` for each.

    progress: told (done, total) functions. Raises PaconvError where there is no library.
    """
    cases = [(name, variant) for name in ("accumulate", "accumulate_codes") for variant in KERNELS[name].variants]
    found = {}
    for number, (name, variant) in enumerate(cases):
        progress(number, len(cases))
        words_per_32 = 1 if name == "accumulate" else WORD_BITS // QUAD
        found[name, variant] = _rate(level, name, variant, words_per_32, seconds)
    planes = {variant: rate for (name, variant), rate in found.items() if name == "accumulate"}
    codes = {variant[0]: rate for (name, variant), rate in found.items() if name == "accumulate_codes"}
    return Rates(planes, codes)


def _rate(level: str, name: str, variant: tuple[int, int], words_per_32: int, seconds: float) -> float:
    tile = ctypes.c_int64(0)
    address = load_library().paconv_kernel(level.encode(), name.encode(), *variant, ctypes.byref(tile))
    function, (m, n), P = _ACCUMULATE(address), variant, tile.value
    words = _LONG * words_per_32
    image = np.zeros((P + words) * n, np.uint32)
    memory = np.zeros((words * m + P * m * n + 1) * LANES, np.uint32)
    weights = -(-memory.ctypes.data // 64) * 64
    counts = weights + words * m * LANES * 4
    pixel_offsets, tap_offsets = np.arange(P, dtype=np.int64) * 4 * n, np.zeros(1, np.int64)
    addresses = image.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data
    best = dict.fromkeys((_SHORT, _LONG), float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for size in best:
            start = time.perf_counter()
            function(P, *addresses, 1, size * words_per_32, weights, counts)
            best[size] = min(best[size], time.perf_counter() - start)
    return max(best[_LONG] - best[_SHORT], 1e-9) * 1e9 / (P * (_LONG - _SHORT))

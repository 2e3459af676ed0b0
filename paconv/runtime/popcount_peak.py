"""The peak of bit planes on this machine: how fast it can AND, count and add bits, with nothing else to do."""

from __future__ import annotations

import ctypes
import time

import numpy as np

from paconv.bits import WORD_BITS
from paconv.errors import UsageError
from paconv.kernels.arguments import LANES, PEAK_RING
from paconv.kernels.blocking import peak_sums
from paconv.kernels.cpus import find_cpu
from paconv.runtime.library import load_library, runnable_cpus

__all__ = ["and_popcount_peak"]

_PEAK = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
_ROUNDS = 20000
"""Turns of the loop in one call: some 50 us, of which the call itself is 2 %, and short enough to go undisturbed."""


def and_popcount_peak(cpu: str, seconds: float = 0.02) -> float:
    """Products of one weight bit and one activation bit, counted, per second: the best of several calls.

    A convolution of M and N planes can't do more than 1/(M*N) of this in multiply-accumulates per second on a thread.

    Args:
        cpu: One whose kernels this machine runs.
        seconds: That the calls take.

    Raises:
        UsageError: This machine doesn't run the kernels for `cpu`.
        PaconvError: There is no library.
    """
    runs = runnable_cpus()
    if cpu not in runs:
        raise UsageError(f"unknown CPU {cpu!r}: expected one that this machine runs: {', '.join(runs)}")
    K = peak_sums(find_cpu(cpu).budget)
    peak = _PEAK(load_library().paconv_kernel(cpu.encode(), b"popcount_peak", 0, 0))
    words = np.zeros(PEAK_RING + 2 * K * LANES + LANES, np.uint32)
    memory = -(-words.ctypes.data // 64) * 64
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        peak(memory, _ROUNDS)
        best = min(best, time.perf_counter() - start)
    return _ROUNDS * K * LANES * WORD_BITS / best

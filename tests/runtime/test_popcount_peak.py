"""The measured peak of AND + popcount: what it counts is right, and the answer is a rate."""

import numpy as np
import pytest

from paconv.errors import UsageError
from paconv.kernels.arguments import LANES, PEAK_RING
from paconv.kernels.blocking import peak_sums
from paconv.kernels.cpus import find_cpu
from paconv.runtime.library import runnable_cpus
from paconv.runtime.popcount_peak import and_popcount_peak
from tests.kernels.linked import aligned, kernel


@pytest.mark.parametrize("cpu", runnable_cpus())
def test_the_loop_counts_every_bit_it_claims_to_count(cpu):
    found = find_cpu(cpu)
    K, rounds = peak_sums(found.budget), 2 * PEAK_RING + 5
    memory, rng = aligned((PEAK_RING + 2 * K * LANES,), np.uint32), np.random.default_rng(0)
    memory[:] = rng.integers(0, 2**32, len(memory), dtype=np.uint32)
    words, weights = memory[:PEAK_RING].copy(), memory[PEAK_RING:][: K * LANES].copy()
    kernel(cpu, "popcount_peak")(memory.ctypes.data, rounds)
    taken = [words[t % PEAK_RING] for t in range(rounds)]
    expected = sum(bits_of(weights & word).astype(np.int64) for word in taken)
    found_sums = memory[PEAK_RING + K * LANES :]
    if found.counts_bytes:  # each byte counts its own, modulo 256
        assert (found_sums.view(np.uint8).reshape(-1, 4).sum(1, dtype=np.int64) % 256 == expected % 256).all()
    else:
        assert (found_sums == expected).all()


def bits_of(words):
    return np.unpackbits(words.view(np.uint8)).reshape(-1, 32).sum(1)


@pytest.mark.parametrize("cpu", runnable_cpus())
def test_the_peak_is_a_rate_of_at_least_a_bit_a_nanosecond(cpu):
    assert 1e9 < and_popcount_peak(cpu, seconds=0.001) < 1e14


def test_a_cpu_that_this_machine_does_not_run_is_refused_with_those_it_runs():
    with pytest.raises(UsageError, match=f"unknown CPU 'pentium': expected .*{runnable_cpus()[0]}"):
        and_popcount_peak("pentium")

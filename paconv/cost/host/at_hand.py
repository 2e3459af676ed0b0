"""Rates that are there without measuring: this machine's where `paconv cost --host` kept them, else shipped ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from paconv.cost.host.cache import cache_path, load
from paconv.cost.host.model import HostModel
from paconv.cost.host.shipped import shipped_host
from paconv.kernels.cpus import find_cpu
from paconv.measure.machine import host_identity
from paconv.runtime.library import active_cpu, runnable_cpus

__all__ = ["host_at_hand"]


def host_at_hand(planes: Iterable[tuple[int, int]]) -> tuple[HostModel, str]:
    """The model of this host for one thread with rates for these (M, N), and whose rates they are, in words.

    Nothing is measured: bit planes of an (M, N) that a kept model lacks have shipped rates. Raises ModelError for a
    kept model that can't be used, UsageError for a PACONV_CPU that isn't known, PaconvError where there is no library.
    """
    cpu = active_cpu()
    shipped = shipped_host(find_cpu(runnable_cpus()[0] if cpu == "jit" else cpu), planes)
    kept = load(cache_path(host_identity(1)))
    if kept is None:
        words = f"rates that paconv ships for {shipped.identity['level']}, whose ratios count"
        return shipped, f"{words}; paconv cost --host measures this machine's"
    missing = {pair: rates for pair, rates in shipped.planes.items() if pair not in kept.planes}
    words = "rates measured on this machine"
    if missing:
        words += f", shipped ones for bit planes {', '.join(f'{M}x{N}' for M, N in missing)}"
    as_fast = kept.real["mac_window"] / shipped.real["mac_window"] or 1.0  # in the same nanoseconds
    scaled = {pair: {unit: rate * as_fast for unit, rate in rates.items()} for pair, rates in missing.items()}
    return replace(kept, planes={**scaled, **kept.planes}), words

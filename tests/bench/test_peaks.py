"""Peaks of a layer from the peak of one product."""

import sys
from types import ModuleType

from paconv.bench.peaks import HostPeaks, layer_peak, measure_peaks

HOST = HostPeaks("cpu", {"planes": 1000.0}, {(2, 2): 200.0}, {"narrow": 90.0, "dot": 300.0})


def test_a_layers_peak_is_one_products_over_the_products_it_takes():
    assert layer_peak(HOST, "planes", (4, 5), "") == 50.0
    assert layer_peak(HOST, "planes", (4, 5), "", threads=2) == 100.0
    assert layer_peak(HOST, "codes", (4, 5), "narrow") == 90.0
    assert layer_peak(HOST, "codes", (8, 7), "dot") == 300.0


def test_what_is_not_known_has_no_peak():
    assert layer_peak(HostPeaks("cpu"), "planes", (1, 1), "") is None
    assert HOST.inner_loop("planes", (2, 2), "") == 200.0 and HOST.inner_loop("codes", (2, 2), "narrow") == 90.0
    assert HOST.inner_loop("planes", (3, 3), "") is None and HOST.inner_loop("codes", (3, 3), "tiles") is None


def test_the_peak_of_and_popcount_is_measured_for_the_cpu_in_use(monkeypatch):
    module = ModuleType("paconv.runtime.popcount_peak")
    module.and_popcount_peak = lambda cpu, seconds: 7.0 if cpu in ("x86-64-v2", "x86-64-v3") else 9.0
    monkeypatch.setitem(sys.modules, "paconv.runtime.popcount_peak", module)
    monkeypatch.setenv("PACONV_CPU", "x86-64-v2")
    found = measure_peaks(0.01)
    assert (found.cpu, found.single) == ("x86-64-v2", {"planes": 7.0})
    assert len(found.planes) == 64 and all(rate > 0 for rate in found.planes.values())


def test_kernels_compiled_in_the_process_have_no_peaks(monkeypatch):
    monkeypatch.setenv("PACONV_JIT", "1")
    assert measure_peaks(0.01) == HostPeaks("jit")

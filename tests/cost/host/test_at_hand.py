"""Rates without measuring: this machine's where they were kept, or else shipped ones for its CPU."""

from __future__ import annotations

import pytest

from paconv.cost import under_scheme
from paconv.cost.host import calibrate
from paconv.cost.host.at_hand import host_at_hand
from paconv.cost.host.cache import cache_path, store
from paconv.cost.host.kernels import planes_of
from paconv.cost.host.shipped import shipped_host
from paconv.cost.host.speed import speed_of
from paconv.errors import ModelError
from paconv.kernels.cpus import CPUS, find_cpu
from paconv.kernels.rates import rates_of
from paconv.measure.machine import host_identity
from paconv.runtime.library import active_cpu, runnable_cpus
from paconv.studies.paper.resnet import resnet
from tests.cost.host import synthetic


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PACONV_CACHE", str(tmp_path))
    monkeypatch.delenv("PACONV_JIT", raising=False)

    def measured(*_):
        raise AssertionError("measured")

    monkeypatch.setattr(calibrate, "times_alone", measured)


def test_a_machine_that_was_not_measured_has_the_rates_of_its_cpu():
    host, words = host_at_hand([(4, 5)])
    assert host == shipped_host(find_cpu(active_cpu()), [(4, 5)])
    assert words.startswith(f"rates that paconv ships for {active_cpu()}") and "paconv cost --host measures" in words


@pytest.mark.parametrize("cpu", runnable_cpus())
def test_a_cpu_that_is_asked_for_has_its_own_rates(cpu, monkeypatch):
    monkeypatch.setenv("PACONV_CPU", cpu)
    assert host_at_hand([(4, 5)])[0].identity["level"] == cpu


def test_compiled_kernels_have_the_rates_of_the_highest_cpu(monkeypatch):
    monkeypatch.setenv("PACONV_JIT", "1")
    assert host_at_hand([(4, 5)])[0].identity["level"] == runnable_cpus()[0]


def test_rates_that_were_kept_go_before_shipped_ones():
    kept = synthetic.host((4, 5))
    store(cache_path(host_identity(1)), kept)
    assert host_at_hand([(4, 5)]) == (kept, "rates measured on this machine")
    host, words = host_at_hand([(2, 2), (4, 5), (8, 7)])
    assert words == "rates measured on this machine, shipped ones for bit planes 2x2, 8x7"
    assert host.planes[4, 5] == kept.planes[4, 5] and host.codes == kept.codes
    shipped = shipped_host(find_cpu(active_cpu()), [(2, 2)])
    assert host.planes[2, 2]["word"] / host.real["mac_window"] == pytest.approx(
        shipped.planes[2, 2]["word"] / shipped.real["mac_window"]
    )


def test_kept_rates_that_cannot_be_read_are_an_error():
    path = cache_path(host_identity(1))
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ModelError, match="measure again with --refresh"):
        host_at_hand([(4, 5)])


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.name)
def test_shipped_rates_are_those_that_kernels_are_chosen_by(cpu):
    host, rates = shipped_host(cpu, [(2, 2), (4, 5)]), rates_of(cpu)
    words_of_codes = min(rates.codes.values())
    for M, N in ((2, 2), (4, 5)):
        # one word of M N planes in a lane, 32 products of codes in a lane
        planes, codes = host.planes[M, N]["word"] * M * N, 32 * host.codes["product"]
        assert planes / codes == pytest.approx(rates.planes[M, N] / words_of_codes)


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.name)
def test_by_shipped_rates_a_resnet_is_faster_than_float_and_its_first_downsample_is_not(cpu):
    net = under_scheme(resnet(18), "pa", 4, 5)
    found = speed_of(shipped_host(cpu, planes_of(net)), net)
    assert 1 < found.ratio < 8
    assert found.slower[0].name == "layer2.0.downsample.0"

"""What a host model belongs to."""

from paconv.cost.host.cache import cache_path
from paconv.measure.machine import host_identity
from paconv.runtime.library import runnable_cpus


def test_another_cpu_or_thread_count_is_another_host_model(monkeypatch):
    monkeypatch.delenv("PACONV_CPU", raising=False)
    highest = cache_path(host_identity(1))
    monkeypatch.setenv("PACONV_CPU", runnable_cpus()[0])
    assert cache_path(host_identity(1)) == highest
    monkeypatch.setenv("PACONV_CPU", runnable_cpus()[-1])
    assert cache_path(host_identity(1)) != highest or len(runnable_cpus()) == 1
    assert cache_path(host_identity(1)) != cache_path(host_identity(2))

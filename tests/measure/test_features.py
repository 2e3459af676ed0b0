"""Which instructions there are: what this process may use, not what the machine that runs it has."""

import platform

import pytest

from paconv.kernels.cpus import cpus_of
from paconv.measure import features
from paconv.measure.features import DOT_PRODUCTS, VECTORS, cpu_features
from paconv.measure.machine import integer_instructions, vector_instructions
from paconv.runtime.library import runnable_cpus

GCC_NAMES = {
    "sse4.2": "sse4_2", "avx2": "avx2", "fma": "fma", "avx512f": "avx512f", "avx512bw": "avx512bw",
    "avx512vnni": "avx512_vnni", "avx512bitalg": "avx512_bitalg", "avx512vpopcntdq": "avx512_vpopcntdq",
}  # fmt: skip


@pytest.mark.skipif(platform.machine() != "x86_64", reason="asks x86's CPUID")
@pytest.mark.parametrize(
    "cpu", [cpu for cpu in cpus_of("x86_64") if "amx-int8" not in cpu.needs], ids=lambda cpu: cpu.name
)
def test_they_are_those_by_which_the_library_tells_its_cpus(cpu):
    """The library asks the CPU itself: under qemu both have to see the CPU that qemu shows. AMX has to be permitted
    besides.
    """
    needed = {GCC_NAMES[need] for need in cpu.needs if need in GCC_NAMES}
    assert (needed <= cpu_features()) == (cpu.name in runnable_cpus())


@pytest.fixture
def told(monkeypatch):
    """What /proc/cpuinfo says, in place of asking the CPU."""
    monkeypatch.setattr(features, "_asked", lambda: None)
    fields: dict[str, str] = {}
    monkeypatch.setattr(features, "cpu_info", lambda: fields)
    return fields


def test_where_the_cpu_cannot_be_asked_the_system_tells(told):
    assert cpu_features() == frozenset()
    told["flags"] = "fpu avx2 avx512_vnni sgx"
    assert cpu_features() == {"avx2", "avx512_vnni"}
    assert (vector_instructions(), integer_instructions()) == (["avx2"], ["avx512_vnni"])
    del told["flags"]
    told["Features"] = "fp asimd asimddp"
    assert cpu_features() == {"asimd", "asimddp"}


def test_every_instruction_of_x86_can_be_asked_for():
    of_arm = {"asimd", "sve", "asimddp", "i8mm"}
    assert {*VECTORS, *DOT_PRODUCTS} - of_arm == set(features._BITS)

"""Sums stay in registers: no inner loop of an accumulate function touches the stack with a vector."""

import shutil

import pytest

from paconv.kernels.cpus import find_cpu
from paconv.kernels.native import microkernel_symbol
from paconv.kernels.registry import KINDS, Microkernel, microkernels
from paconv.library_build.targets import BUILT
from tests.assembly import Instruction, disassemble, vector_spills, working_loops
from tests.kernels.linked import built_cpus

pytestmark = pytest.mark.skipif(not shutil.which("objdump"), reason="no objdump to read machine code with")


@pytest.fixture(scope="module")
def functions():
    return disassemble(BUILT, "paconv_")


def kernels(cpu: str, name: str) -> list[Microkernel]:
    return [each for each in microkernels(find_cpu(cpu)) if each.name == name]


@pytest.mark.parametrize("cpu", built_cpus())
def test_no_inner_loop_spills_for_any_sub_block_of_planes(functions, cpu):
    found = find_cpu(cpu)
    for each in [*kernels(cpu, "accumulate"), *kernels(cpu, "popcount_peak")]:
        loops = working_loops(functions[microkernel_symbol(found, each)], "planes")
        assert len(loops) >= getattr(each.plan, "pixels", 1)  # one for each size of a block
        assert [vector_spills(loop) for loop in loops] == [[]] * len(loops), each.variant


@pytest.mark.parametrize("cpu", built_cpus())
def test_no_inner_loop_spills_for_any_kind_of_products(functions, cpu):
    found = find_cpu(cpu)
    for each in kernels(cpu, "accumulate_codes"):
        kind = list(KINDS)[each.variant[0] - 1]
        loops = working_loops(functions[microkernel_symbol(found, each)], kind)
        sizes = 4 if kind == "tiles" else each.plan.blocks * max(1, each.plan.pixels // 2)
        assert len(loops) >= sizes, kind  # one for each size of a block
        assert [vector_spills(loop) for loop in loops] == [[]] * len(loops), kind


@pytest.mark.parametrize("cpu", built_cpus())
def test_no_inner_loop_spills_for_any_number_of_depthwise_pixels(functions, cpu):
    (each,) = kernels(cpu, "depthwise_sums")
    loops = working_loops(functions[microkernel_symbol(find_cpu(cpu), each)], "floats")
    assert len(loops) >= each.plan.pixels.bit_length()  # one for each power of two
    assert [vector_spills(loop) for loop in loops] == [[]] * len(loops)


def test_a_spill_is_seen():
    lines = [
        "vpandd 0x40(%rsp),%zmm1,%zmm2",
        "vpopcntd %zmm2,%zmm2",
        "str q0, [sp, #16]",
        "mov %rax,(%rsp)",
        "vmovaps (%rax),%zmm1",
    ]
    loop = [Instruction(k, *line.split(" ", 1)) for k, line in enumerate(lines)]
    assert vector_spills(loop) == [loop[0], loop[2]]

"""The counts stay in registers: no inner loop of an accumulate function touches the stack with a vector."""

import shutil

import pytest

from paconv.kernels.levels import LEVELS
from paconv.kernels.native import kernel_symbol
from paconv.kernels.registry import plane_pairs
from paconv.runtime.library import BUILT
from tests.assembly import Instruction, disassemble, inner_loops, vector_spills
from tests.kernels.test_steps import built_levels

pytestmark = pytest.mark.skipif(not shutil.which("objdump"), reason="no objdump to read machine code with")


def counting_loops(function):
    """The inner loops that count bits."""
    names = ("cnt", "pshufb", "vpshufb", "vpopcntb", "vpopcntd")
    return [loop for loop in inner_loops(function) if any(i.name in names for i in loop)]


@pytest.fixture(scope="module")
def functions():
    return disassemble(BUILT, "paconv_")


@pytest.mark.parametrize("level", built_levels())
def test_no_inner_loop_spills_for_any_number_of_planes(functions, level):
    found = next(each for each in LEVELS if each.name == level)
    for variant in plane_pairs():
        loops = counting_loops(functions[kernel_symbol(found, "accumulate", variant)])
        assert loops
        assert [vector_spills(loop) for loop in loops] == [[]] * len(loops), variant
    assert all(not vector_spills(loop) for loop in counting_loops(functions[kernel_symbol(found, "limit")]))


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

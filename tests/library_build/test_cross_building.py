"""A library for another architecture: built here, its instructions read, and its kernels run under qemu, bit for bit as
on this machine.

Debian: gcc-aarch64-linux-gnu and qemu-user.
"""

import shutil
import subprocess
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import paconv
from paconv.kernels import native
from paconv.kernels.arguments import F
from paconv.kernels.levels import levels_of
from paconv.kernels.native import kernel_symbol
from paconv.kernels.registry import CHOICES, plane_pairs
from paconv.library_build.build import build_library
from paconv.library_build.targets import find_target
from paconv.runtime.inspection import node_kernels
from tests.assembly import disassemble, inner_loops, vector_spills
from tests.bit_conv_cases import make_case, model_of
from tests.kernel_arguments import CHANNEL_LAST, arguments_of, level_arguments_of
from tests.level_conv_cases import level_model, make_level_case

RUN_KERNELS = Path(__file__).with_name("run_kernels.c")
TOOLS = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
OBJDUMP = "aarch64-linux-gnu-objdump"
MISSING = [tool for tool in (*TOOLS, OBJDUMP) if not shutil.which(tool)] + ([] if find_spec("numba") else ["Numba"])


def job_of(arrays: dict, numbers: dict) -> tuple[bytes, dict[str, slice]]:
    """The job file of an argument block for run_kernels.c; where each array lies in the memory."""
    fields, memory, where = np.zeros(len(F), np.int64), bytearray(), {}
    for name, array in arrays.items():
        where[name] = slice(len(memory), len(memory) + array.nbytes)
        fields[getattr(F, name)] = len(memory) + 1
        memory += array.tobytes() + bytes(-array.nbytes % 64)
    for name, value in numbers.items():
        fields[getattr(F, name)] = value
    return fields.tobytes() + bytes(memory), where


def jobs_of(case, kernel: str, rng):
    """(arguments, output fields, the outputs of a session) of a PABitConv and a PALevelConv of the case."""

    def session(model, feeds):
        model = model.SerializeToString()
        (node,) = node_kernels(model, kernel)
        return node.format, paconv.InferenceSession(model, kernel=kernel).run(None, feeds)

    code_format, (Y,) = session(model_of(case), {"X": case.X})
    yield arguments_of(case, code_format), ["y"], [Y]
    level_case = make_level_case(case, rng, Y.shape)
    code_format, outputs = session(level_model(level_case), {"L": level_case.L, "R": level_case.residual})
    yield level_arguments_of(level_case, code_format), [name for name, _ in CHANNEL_LAST.values()], outputs


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("aarch64") / "libpaconv.so"
    build_library(find_target("aarch64-linux"), output)
    return output


@pytest.mark.skipif(bool(MISSING), reason=f"cross-building is not tested here: no {' and no '.join(MISSING)}")
def test_a_library_for_aarch64_gives_the_same_bits_under_qemu_at_every_level(library, tmp_path):
    (tmp_path / "paconv_tables.h").write_text(native.tables_header())
    source = str(tmp_path / "run_kernels")
    program = [TOOLS[0], "-O1", f"-I{tmp_path}", str(RUN_KERNELS), "-o", source, "-ldl"]
    subprocess.run(program, check=True, capture_output=True)
    rng = np.random.default_rng(0)
    cases = [
        make_case(rng, M=4, N=5, channels=33, out=17, group=2, size=(9, 11), strides=(2, 1), dilations=(1, 2), batch=2,
                  pads=(1, 0, 2, 1), offsets=True, special=True),
        make_case(rng, M=1, N=1, channels=64, out=16),
        make_case(rng, M=8, N=7, channels=16, out=33, kernel=(1, 1), pads=(0, 0, 0, 0), strides=(2, 2)),
        make_case(rng, M=2, N=2, channels=20, out=17, dilations=(1, 2), offsets=True),  # folded
        make_case(rng, M=2, N=3, channels=160, out=16),  # more words than byte counters hold
    ]  # fmt: skip
    for case, kernel in product(cases, CHOICES):
        for arguments, fields, outputs in jobs_of(case, kernel, rng):
            job, where = job_of(*arguments)
            (tmp_path / "job").write_bytes(job)
            for level in levels_of("aarch64"):
                command = [TOOLS[1], "-L", "/usr/aarch64-linux-gnu", source, str(library), level.name, "job", "out"]
                subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
                memory = (tmp_path / "out").read_bytes()
                for field, expected in zip(fields, outputs, strict=True):
                    assert memory[where[field]] == expected.tobytes(), (kernel, level.name, field)


@pytest.mark.skipif(bool(MISSING), reason=f"cross-building is not tested here: no {' and no '.join(MISSING)}")
def test_counts_for_aarch64_stay_in_registers_as_bytes(library):
    functions = disassemble(library, "paconv_armv8", OBJDUMP)
    for level, variant in product(levels_of("aarch64"), plane_pairs()):
        loops = inner_loops(functions[kernel_symbol(level, "accumulate", variant)])
        counting = [loop for loop in loops if any(i.name == "cnt" for i in loop)]
        assert counting
        for loop in counting:
            assert not vector_spills(loop), (level.name, variant)
            assert not [i for i in loop if i.name.startswith(("uaddl", "uadal", "addv"))]  # sums of bytes wait

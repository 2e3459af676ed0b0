"""A library for another architecture: built here, its instructions read, and its kernels run under qemu: on a grid they
give the integers' own bits, off it those of this machine.

Debian: gcc-aarch64-linux-gnu and qemu-user.
"""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import paconv
from paconv.kernels import native
from paconv.kernels.arguments import F
from paconv.kernels.cpus import Cpu, cpus_of, find_cpu
from paconv.kernels.native import microkernel_symbol
from paconv.kernels.registry import KINDS, kind_number, microkernels
from paconv.library_build.build import build_library
from paconv.library_build.targets import find_target
from paconv.reference import finish_level_conv
from tests.assembly import disassemble, vector_spills, working_loops
from tests.bit_conv_cases import exact_output, grid_of, make_case, model_of
from tests.depthwise_cases import make_depthwise_case
from tests.kernel_arguments import CHANNEL_LAST, arguments_of, depthwise_arguments_of, level_arguments_of
from tests.level_conv_cases import make_level_case

RUN_KERNELS = Path(__file__).with_name("run_kernels.c")
TOOLS = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
OBJDUMP = "aarch64-linux-gnu-objdump"
MISSING = [tool for tool in (*TOOLS, OBJDUMP) if not shutil.which(tool)] + ([] if find_spec("numba") else ["Numba"])
CPUS = {"armv8-a": "cortex-a53", "armv8.2-a-dotprod": "max"}
"""CPU that kernels are built for -> one of qemu's that has no more."""

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"cross-building is not tested here: no {' and no '.join(MISSING)}"),
    pytest.mark.slow,
]
SIZES = [
    dict(M=4, N=5, channels=33, out=17, group=2, size=(9, 11), strides=(2, 1), dilations=(1, 2), batch=2,
         pads=(1, 0, 2, 1), offsets=True, special=True),
    dict(M=1, N=1, channels=64, out=16),
    dict(M=8, N=7, channels=16, out=33, kernel=(1, 1), pads=(0, 0, 0, 0), strides=(2, 2)),
    dict(M=2, N=2, channels=20, out=17, dilations=(1, 2), offsets=True),  # folded
    dict(M=2, N=3, channels=160, out=16),  # more words than byte counters hold
]  # fmt: skip
DEPTHWISE_SIZES = [
    dict(channels=58, size=(5, 70), residual=False),
    dict(channels=5, kernel=(5, 3), strides=(2, 1), pads=(2, 1, 0, 3)),  # less than a vector
    dict(channels=33, size=(9, 13), strides=(1, 2), dilations=(2, 3)),
]
GRIDS = [None, (1, 0, 1), (15, 0, 31), (127, -127, 127), (127, 0, 255)]
KERNELS = [
    (cpu.name, kind, grid)
    for cpu in cpus_of("aarch64")
    for kind in ("planes", *cpu.multipliers)
    for grid in GRIDS
    if grid or kind == "planes"  # codes are for grids
]


def job_of(arrays: dict, numbers: dict) -> tuple[bytes, dict[str, slice]]:
    """The job file of an argument block for run_kernels.c; where each array lies in the memory."""
    fields, memory, where = np.zeros(F.count, np.int64), bytearray(), {}
    for name, array in arrays.items():
        where[name] = slice(len(memory), len(memory) + array.nbytes)
        fields[getattr(F, name)] = len(memory) + 1
        memory += array.tobytes() + bytes(-array.nbytes % 64)
    for name, value in numbers.items():
        fields[getattr(F, name)] = value
    return fields.tobytes() + bytes(memory), where


def jobs_of(case, cpu: Cpu, kind: str, rng):
    """(arguments, {output field: expected}) of a PABitConv and a PALevelConv of the case."""
    if grid_of(case):
        Y = exact_output(case)
    else:
        session = paconv.InferenceSession(model_of(case).SerializeToString(), kernel="planes")
        (Y,) = session.run(None, {"X": case.X})
    number = {"accumulate": kind_number(kind) if kind in KINDS else 0}
    arrays, numbers = arguments_of(case, cpu, kind)
    yield (arrays, numbers | number), {"y": Y}
    level_case = make_level_case(case, rng, Y.shape)
    channel_last = np.ascontiguousarray(Y.transpose(0, 2, 3, 1))
    finished = finish_level_conv(channel_last, level_case.residual, level_case.finish)
    arrays, numbers = level_arguments_of(level_case, cpu, kind)
    yield (arrays, numbers | number), {field: finished[name] for name, (field, _) in CHANNEL_LAST.items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("aarch64") / "libpaconv.so"
    build_library(find_target("aarch64-linux"), output)
    return output


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run_kernels")
    (folder / "paconv_tables.h").write_text(native.tables_header())
    output = folder / "run_kernels"
    command = [TOOLS[0], "-O1", f"-I{folder}", str(RUN_KERNELS), "-o", str(output), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return output


def run_under_qemu(program: list, job: tuple[bytes, dict], folder: Path) -> tuple[bytes, dict]:
    """(the memory after the job of job_of, where each array lies in it). program: run_kernels, library, level."""
    (folder / "job").write_bytes(job[0])
    machine = [TOOLS[1], "-cpu", CPUS[program[-1]], "-L", "/usr/aarch64-linux-gnu"]
    subprocess.run([*machine, *program, "job", "out"], check=True, capture_output=True, cwd=folder)
    return (folder / "out").read_bytes(), job[1]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{sizes['channels']} channels")
@pytest.mark.parametrize(("name", "kind", "grid"), KERNELS)
def test_kernels_for_aarch64_give_the_same_bits_under_qemu(library, program, tmp_path, name, kind, grid, sizes):
    rng, cpu = np.random.default_rng(0), find_cpu(name)
    case = make_case(rng, grid=grid, **sizes)
    for arguments, outputs in jobs_of(case, cpu, kind, rng):
        memory, where = run_under_qemu([program, library, name], job_of(*arguments), tmp_path)
        for field, expected in outputs.items():
            assert memory[where[field]] == expected.tobytes(), field


@pytest.mark.parametrize("cpu", cpus_of("aarch64"), ids=lambda cpu: cpu.name)
@pytest.mark.parametrize("sizes", DEPTHWISE_SIZES, ids=lambda sizes: f"{sizes['channels']} channels")
def test_depthwise_kernels_for_aarch64_give_the_bits_of_the_reference_under_qemu(
    library, program, tmp_path, cpu, sizes
):
    case = make_depthwise_case(np.random.default_rng(0), **sizes)
    job = job_of(*depthwise_arguments_of(case))
    memory, where = run_under_qemu([program, library, cpu.name], job, tmp_path)
    for name, expected in case.expected.items():
        assert memory[where[CHANNEL_LAST[name][0]]] == expected.tobytes(), name


@pytest.mark.parametrize("cpu", cpus_of("aarch64"), ids=lambda cpu: cpu.name)
def test_sums_for_aarch64_stay_in_registers(library, cpu):
    functions = disassemble(library, "paconv_armv8", OBJDUMP)
    for each in microkernels(cpu):
        kind = {"accumulate_codes": list(KINDS)[each.variant[0] - 1], "depthwise_sums": "floats"}.get(
            each.name, "planes"
        )
        loops = working_loops(functions[microkernel_symbol(cpu, each)], kind)
        assert loops, each
        for loop in loops:
            assert not vector_spills(loop), each
            if kind == "planes":  # sums of bytes wait
                assert not [i for i in loop if i.name.startswith(("uaddl", "uadal", "addv"))], each
            if kind == "floats":  # product and sum are rounded each
                assert not [i for i in loop if i.name.startswith("fmla")], each
            instruction = {"planes": "cnt", "dot": "sdot", "narrow": "smlal", "floats": "fmul"}[kind]
            assert instruction in {i.name for i in loop}, each

"""A library for another architecture: built here, its instructions read, and its kernels run under qemu, bit for bit as
on this machine.

Debian: gcc-aarch64-linux-gnu and qemu-user.
"""

import shutil
import subprocess
from importlib.util import find_spec
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import pytest

import paconv
from paconv.bits import WORD_BITS
from paconv.kernels import native
from paconv.kernels.arguments import CODING_HEAD, GATHER_RUN, LANES, MAX_FOLDED, MAX_HALO, PIXEL_CHUNK, QUAD, F
from paconv.kernels.levels import levels_of
from paconv.kernels.native import kernel_symbol
from paconv.kernels.registry import CHOICES, plane_pairs
from paconv.library_build.build import build_library
from paconv.library_build.targets import find_target
from paconv.ops.pa_bit_conv import output_shape
from paconv.runtime.inspection import node_kernels
from tests.assembly import disassemble, inner_loops, vector_spills
from tests.bit_conv_cases import make_case, model_of

RUN_KERNELS = Path(__file__).with_name("run_kernels.c")
TOOLS = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
OBJDUMP = "aarch64-linux-gnu-objdump"
MISSING = [tool for tool in (*TOOLS, OBJDUMP) if not shutil.which(tool)] + ([] if find_spec("numba") else ["Numba"])


def layout_of(CG: int, KH: int, KW: int, DW: int) -> tuple[int, int, int, int]:
    """(folded, CW, taps, run) of bit planes, folded wherever that saves words."""
    own, row = -(-CG // WORD_BITS), -(-KW * CG // WORD_BITS)
    if row < KW * own and row <= MAX_FOLDED and (KW - 1) * DW <= MAX_HALO:
        return 1, row, KH, row
    return (0, own, KH, KW * own) if DW == 1 else (0, own, KH * KW, own)


def arguments_of(case, D: int = 0) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """The arrays and the other fields that a case's kernels take, by planes or by codes of D digits."""
    a, inputs = case.attributes, case.inputs
    O, CG, KH, KW = a["weight_shape"]
    G, M, N = a["group"], inputs["alpha"].shape[1] - 1, inputs["beta"].shape[0] - 1
    B, C, H, W = case.X.shape
    shape = output_shape(case.X.shape, a["weight_shape"], a["strides"], a["pads"], a["dilations"])
    _, _, OH, OW = shape
    OG, digits = O // G, D or N
    quads = -(-CG // QUAD)
    folded, CW, taps, run = (0, quads, KH * KW, quads) if D else layout_of(CG, KH, KW, a["dilations"][1])
    OB = -(-OG // LANES)
    Hp, Wp = H + a["pads"][0] + a["pads"][2], W + a["pads"][1] + a["pads"][3]
    tap_offsets = [
        (kh * a["dilations"][0] * Wp + kw * a["dilations"][1]) * CW * digits * 4
        for kh in range(KH)
        for kw in range(taps // KH)
    ]
    arrays = {
        "x": case.X,
        "y": np.zeros(shape, np.float32),
        "words": np.zeros((B, G, Hp, Wp, CW, digits), np.uint32),
        "sums": np.zeros((B, G, Hp, Wp, 2), np.int32),
        "coding": np.zeros(CODING_HEAD + len(inputs["alpha"])),
        "level_codes": np.zeros(inputs["v"].shape[1] + 1, np.uint32),
        "correction": np.zeros((G * OB, 2, LANES), np.float32),
        "zero_dots": np.zeros((G * OB, 2, LANES), np.int32),
        "tap_offsets": np.array(tap_offsets, np.int64),
        "codes": inputs["W"],
        **{name: inputs[name] for name in ("v", "sign", "alpha", "beta", "scale", "bias")},
        "weight_masks": np.array(a["weight_masks"], np.uint8),
        "level_masks": np.array(a["level_masks"], np.uint8),
        "weight_words": np.zeros((G * OB, taps * run, D or M, LANES), np.uint32),
        "phi": np.zeros((G * OB, D or M * N, LANES), np.float32),
        "base": np.zeros((G * OB, LANES), np.float32),
        "offset_alpha": np.zeros((G * OB, LANES), np.float32),
        "offset_taps": np.zeros((G * OB, KH * KW, LANES), np.float32),
    }
    sizes = dict(
        B=B, C=C, H=H, W=W, XH=H, XW=W, XSH=1, XSW=1,
        O=O, OH=OH, OW=OW, G=G, CG=CG, OG=OG, CW=CW, OB=OB, KH=KH, KW=KW, SH=a["strides"][0],
        SW=a["strides"][1], PT=a["pads"][0], PL=a["pads"][1], Hp=Hp, Wp=Wp, DH=a["dilations"][0], DW=a["dilations"][1],
        folded=folded, taps=taps, run=run, M=M, N=N, D=D, E=inputs["v"].shape[1], v_rows=len(inputs["v"]),
        sign_rows=len(inputs["sign"]),
        alpha_rows=len(inputs["alpha"]), R=len(inputs["W"]), code_bytes=inputs["W"].shape[1],
        weight_codes=len(a["weight_masks"]), has_alpha_0=int(inputs["alpha"][:, 0].any()),
        gather_runs=-(-H * W // GATHER_RUN), gather_parts=1,
        has_beta_0=int(inputs["beta"][0] != 0), pixel_chunks=-(-OH * OW // PIXEL_CHUNK), block_chunks=1,
        blocks_per_task=OB,
    )  # fmt: skip
    return arrays, sizes


def job_of(case, D: int = 0) -> tuple[bytes, slice, tuple]:
    """The job file of a case for run_kernels.c; where its output lies in the memory; the output's shape."""
    arrays, sizes = arguments_of(case, D)
    fields, memory, where = np.zeros(len(F), np.int64), bytearray(), {}
    for name, array in arrays.items():
        where[name] = slice(len(memory), len(memory) + array.nbytes)
        fields[getattr(F, name)] = len(memory) + 1
        memory += array.tobytes() + bytes(-array.nbytes % 64)
    for name, value in sizes.items():
        fields[getattr(F, name)] = value
    return fields.tobytes() + bytes(memory), where["y"], arrays["y"].shape


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
        (node,) = node_kernels(model_of(case).SerializeToString(), kernel)
        job, y, shape = job_of(case, node.digits)
        (tmp_path / "job").write_bytes(job)
        session = paconv.InferenceSession(model_of(case).SerializeToString(), kernel=kernel)
        expected = session.run(None, {"X": case.X})[0]
        for level in levels_of("aarch64"):
            command = [TOOLS[1], "-L", "/usr/aarch64-linux-gnu", source, str(library), level.name, "job", "out"]
            subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
            memory = (tmp_path / "out").read_bytes()
            assert len(memory[y]) == 4 * prod(shape)
            assert memory[y] == expected.tobytes()


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

"""The kernels' steps on their own: tiling, gather, and that compiled kernels are clean of Python."""

import shutil
import subprocess

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv import bits
from paconv.kernels.accumulate import MAX_TILE, tiling
from paconv.kernels.arguments import F
from paconv.kernels.registry import KERNELS, compile_kernel
from paconv.reference import activation_levels
from paconv.runtime.library import _compile
from tests.bit_conv_cases import make_case


@given(M=st.integers(1, 8), N=st.integers(1, 8), budget=st.integers(1, 40))
def test_a_tiling_covers_each_plane_pair_once_within_the_budget(M, N, budget):
    plan = tiling(M, N, budget)
    pairs = [(i, j) for i0, m, j0, n in plan.blocks for i in range(i0, i0 + m) for j in range(j0, j0 + n)]
    assert sorted(pairs) == [(i, j) for i in range(M) for j in range(N)]
    assert 1 <= plan.pixels <= MAX_TILE
    assert all(m * n * plan.pixels <= budget for _, m, _, n in plan.blocks)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 31, 32, 33, 65]),
    group=st.integers(1, 2),
    coding=st.sampled_from(["one-hot", "binary", "thermometer"]),
    width=st.sampled_from([1, 7, 64, 65, 130]),
)
def test_gather_packs_the_reference_levels_bit_for_bit(seed, channels, group, coding, width):
    case = make_case(
        np.random.default_rng(seed), N=4, channels=channels, group=group, out=1, size=(3, width), level_coding=coding,
        special=True, pads=(1, 0, 0, 2),
    )  # fmt: skip
    X, v, sign = case.X, case.inputs["v"], case.inputs["sign"]
    masks = np.array(case.attributes["level_masks"], np.uint8)
    CW, Hp, Wp = -(-channels // bits.WORD_BITS), 4, width + 2
    words = np.full((group, Hp, Wp, CW, 4), 0xDEADBEEF, np.uint32)
    fields = dict(
        x=X.ctypes.data, words=words.ctypes.data, v=v.ctypes.data, sign=sign.ctypes.data, level_masks=masks.ctypes.data,
        B=1, C=X.shape[1], H=3, W=width, G=group, CG=channels, CW=CW, Hp=Hp, Wp=Wp, PT=1, PL=0, N=4, E=v.shape[1],
        v_rows=len(v), sign_rows=len(sign),
    )  # fmt: skip
    arguments = np.zeros(len(F), np.int64)
    for name, value in fields.items():
        arguments[getattr(F, name)] = value
    kernel = _compile("gather", 0, 0)
    for task in range(group * Hp):
        kernel.ctypes(arguments.ctypes.data, task)

    planes = masks[activation_levels(X, v, sign)[0]].reshape(group, channels, 3, width)
    expected = np.zeros((group, Hp, Wp, CW, 4), np.uint64)
    for c in range(channels):
        for j in range(4):
            bit = ((planes[:, c] >> j) & 1).astype(np.uint64)
            expected[:, 1:, :width, c // 32, j] |= bit << np.uint64(c % 32)
    assert (words == expected).all()


@pytest.mark.parametrize("name", list(KERNELS))
def test_a_compiled_kernel_needs_nothing_but_mem_functions(name, tmp_path):
    kernel = compile_kernel(name, 3, 2, cache=False)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(kernel._library.get_llvm_str())
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "external" if function.name == kernel._wrapper_name else "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, reloc="pic"
    )
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    llvm.create_pass_builder(machine, options).getModulePassManager().run(
        module, llvm.create_pass_builder(machine, options)
    )
    (tmp_path / "kernel.o").write_bytes(machine.emit_object(module))
    nm = shutil.which("nm")
    assert nm, "binutils' nm is needed beside the C compiler"
    listing = subprocess.run([nm, "-u", tmp_path / "kernel.o"], capture_output=True, text=True, check=True).stdout
    symbols = set(listing.split()) - {"U", "_GLOBAL_OFFSET_TABLE_"}  # the latter is the linker's own
    assert symbols <= {"memset", "memcpy", "memmove"}

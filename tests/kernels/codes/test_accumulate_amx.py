"""AMX: the program of tiles with its tiles in memory, which runs on any CPU, and with the CPU's, against integers."""

import shutil
from dataclasses import replace
from importlib.util import find_spec
from itertools import product

import numpy as np
import pytest

from paconv.kernels.arguments import LANES
from paconv.kernels.blocking import TILE_ROWS
from paconv.kernels.cpus import find_cpu
from paconv.kernels.native import microkernel_symbol
from paconv.kernels.registry import FAMILIES, kind_number, microkernels
from paconv.library_build.targets import BUILT
from paconv.runtime.library import runnable_cpus
from tests.assembly import disassemble
from tests.bit_conv_cases import GRIDS, exact_output, make_case
from tests.kernels.linked import MICROKERNELS, aligned, built_cpus
from tests.kernels.whole_conv import address, output_of

AMX_CPU = "x86-64-v4-amx"
TILE = find_cpu(AMX_CPU).multipliers["tiles"]
KINDS_OF_TILES = ["in memory", "the CPU's"]


@pytest.fixture(scope="module")
def functions():
    """Address of the accumulate function of each kind of tiles that can run here."""
    found, engine = {}, None
    if find_spec("numba") is not None:
        engine, found["in memory"] = soft_tiles()
    if AMX_CPU in runnable_cpus():
        found["the CPU's"] = address(AMX_CPU, "accumulate_codes", (kind_number("tiles"), 0))
    yield found
    del engine


def soft_tiles():
    """(what keeps the function alive, its address)."""
    import llvmlite.binding as llvm
    from llvmlite import ir

    from paconv.kernels.codes.accumulate_amx import emit

    module, i64 = ir.Module(), ir.IntType(64)
    kind = ir.FunctionType(ir.VoidType(), [i64] * len(FAMILIES["accumulate_codes"].arguments))
    function = ir.Function(module, kind, "soft")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit(builder, replace(TILE, product="SoftTiles"), *function.args)
    builder.ret_void()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
    engine.finalize_object()
    return engine, engine.get_function_address("soft")


def taken(functions, tiles: str) -> int:
    if tiles not in functions:
        pytest.skip("no Numba to emit tiles in memory with" if tiles == "in memory" else "this CPU has no AMX-INT8")
    return functions[tiles]


@pytest.mark.parametrize("tiles", KINDS_OF_TILES)
@pytest.mark.parametrize("distance", [1, 3, 50])
@pytest.mark.parametrize(("taps", "run"), [(1, 1), (2, 5), (3, 16), (2, 33), (1, 128), (2, 131)])
def test_tiles_give_the_exact_dot_products_of_every_size(functions, tiles, taps, run, distance):
    function, P = MICROKERNELS["accumulate_codes"](taken(functions, tiles)), TILE.pixels
    rng, step = np.random.default_rng(run), 9
    at = np.concatenate([first + distance * np.arange(TILE_ROWS) for first in rng.integers(0, 40, P // TILE_ROWS)])
    image = rng.integers(0, 256, (at.max() + run + taps * step + TILE.words, 4), dtype=np.uint8)
    image[: run + 4] = 255  # the largest bytes
    pixel_offsets, tap_offsets = at * 4, np.arange(taps) * step * 4
    weights = aligned((2, taps, -(-run // TILE.words) * TILE.words, LANES, 4), np.int8)
    weights[:, :, :run] = rng.integers(-127, 128, (2, taps, run, LANES, 4))
    weights[:, 0, : run // 2] = -127
    start, dots = aligned((2, LANES), np.int32), aligned((2, P, LANES), np.int32)
    start[:] = rng.integers(-(2**31), 2**31, start.shape)
    windows = np.stack([[image[p + tap * step :][:run] for tap in range(taps)] for p in at]).reshape(P, taps * run, 4)
    of_runs = weights[:, :, :run].reshape(2, taps * run, LANES, 4)
    products = np.einsum("btlk,ptk->bpl", of_runs.astype(np.int64), windows.astype(np.int64))
    expected = (products + start[:, None]).astype(np.int32)  # modulo 2**32
    for blocks, pixels in product((1, 2), (1, TILE_ROWS, TILE_ROWS + 1, P)):
        dots[:] = -1
        function(
            pixels, blocks, image.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data, taps, run, 0,
            weights.ctypes.data, weights[0].nbytes, start.ctypes.data, dots.ctypes.data,
        )  # fmt: skip
        assert (dots[:blocks, :pixels] == expected[:blocks, :pixels]).all()


@pytest.mark.parametrize("tiles", KINDS_OF_TILES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("channels", "out", "size"), [(64, 48, (9, 9)), (37, 17, (5, 7)), (3, 1, (4, 4))])
def test_a_convolution_by_tiles_gives_the_bits_of_the_integers(functions, tiles, grid, channels, out, size):
    accumulate = taken(functions, tiles)
    rng = np.random.default_rng(channels)
    case = make_case(rng, M=8, N=7, channels=channels, out=out, size=size, offsets=True, grid=grid)
    expected = exact_output(case)
    cpu = AMX_CPU if AMX_CPU in runnable_cpus() else runnable_cpus()[0]
    assert output_of(case, cpu, "tiles", accumulate, TILE).tobytes() == expected.tobytes()


@pytest.mark.skipif(AMX_CPU not in built_cpus() or not shutil.which("objdump"), reason="no AMX in this library")
def test_the_inner_loop_for_amx_is_tile_loads_and_tile_products():
    found = next(m for m in microkernels(find_cpu(AMX_CPU)) if m.variant == (kind_number("tiles"), 0))
    code = disassemble(BUILT, "paconv_")[microkernel_symbol(find_cpu(AMX_CPU), found)]
    names = [instruction.name for instruction in code]
    for name in ("ldtilecfg", "tileloadd", "tdpbusd", "tilestored", "tilerelease"):
        assert name in names
    assert names.count("tdpbusd") >= 1 + 2 + 2 + 4  # for one lane block and for two, 16 pixels and 32

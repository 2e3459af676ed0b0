"""AMX: the program of tiles with its tiles in memory, which runs on any CPU, against integers; and what the CPU would
run.

No machine with AMX took part in this: the instructions themselves are only looked at.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import product

import numpy as np
import pytest
from paconv.kernels.formats import FORMATS

from paconv.kernels.arguments import LANES
from paconv.kernels.tiling import TILE_ROWS, amx_tile
from paconv.reference import pa_bit_conv
from tests.bit_conv_cases import kernel_tolerance
from tests.kernels.test_codes import aligned, pa_case
from tests.kernels.test_steps import ACCUMULATE
from tests.kernels.whole_conv import conv_by_codes

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="Numba isn't installed: it compiles the tiles")


@pytest.fixture(scope="module")
def soft():
    """Digits -> (the accumulate function with tiles in memory, its address)."""
    from numba import cfunc

    from paconv.kernels.accumulate_codes import CODES_SIGNATURE
    from paconv.kernels.accumulate_tiles import make_accumulate_tiles

    made = {
        D: cfunc(CODES_SIGNATURE, error_model="numpy", boundscheck=False)(make_accumulate_tiles(D, soft=True))
        for D in (1, 2)
    }
    yield {D: (ACCUMULATE["accumulate_codes"](kernel.address), kernel.address) for D, kernel in made.items()}
    del made


@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize(("taps", "run"), [(1, 1), (2, 5), (3, 16), (2, 33), (1, 128), (2, 131)])
def test_tiles_give_the_exact_dot_products_of_every_size(soft, D, taps, run):
    rng = np.random.default_rng(run)
    function, P = soft[D][0], amx_tile(D).pixels
    image = rng.integers(0, 256, (run + 80, D, 4), dtype=np.uint8)
    image[: run + 4] = 255  # the largest digits
    at, step = rng.integers(0, 40, P), 9
    pixel_offsets, tap_offsets = at * 4 * D, np.arange(taps) * step * 4 * D
    weights = aligned((2, taps * run + TILE_ROWS, D, LANES, 4), np.int8)
    weights[:] = rng.integers(-127, 128, weights.shape)
    weights[:, : run // 2] = -127
    start, dots = aligned((2, D, LANES), np.int32), aligned((2, P, D, LANES), np.float32)
    start[:] = rng.integers(-1000, 1000, start.shape)
    windows = np.stack([[image[p + tap * step :][:run] for tap in range(taps)] for p in at]).reshape(
        P, taps * run, D, 4
    )
    products = np.einsum("btdlk,ptek->bpdel", weights[:, : taps * run].astype(np.int64), windows.astype(np.int64))
    sums = [products[:, :, 0, 0]] + ([products[:, :, 1, 0] + products[:, :, 0, 1]] if D == 2 else [])
    expected = (np.stack(sums, 2) + start[:, None]).astype(np.float32)
    for blocks, pixels in product((1, 2), (1, P - 1, P)):
        dots[:] = np.nan
        function(
            pixels, blocks, image.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data, taps, run, 0,
            weights.ctypes.data, weights[0].nbytes, start.ctypes.data, dots.ctypes.data,
        )  # fmt: skip
        assert (dots[:blocks, :pixels] == expected[:blocks, :pixels]).all()


@pytest.mark.parametrize(("M", "N"), [(1, 1), (2, 5), (4, 5), (8, 7), (8, 8)])
@pytest.mark.parametrize(("channels", "out", "size"), [(64, 48, (9, 9)), (37, 17, (5, 7)), (3, 1, (4, 4))])
def test_two_bytes_on_tiles_are_within_what_exact_codes_promise(soft, M, N, channels, out, size):
    case = pa_case(M, N, 10 * M + N, channels=channels, out=out, size=size)
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    tile = amx_tile(2)
    Y, error = conv_by_codes(case, "two-bytes", soft[2][1], tile.pixels, tile.blocks)
    largest = np.abs(expected.Y - case.inputs["bias"][:, None, None]).max()
    bound = error * largest if channels == 64 else kernel_tolerance(case, expected, "codes")
    assert (np.abs(Y - expected.Y) <= bound + kernel_tolerance(case, expected)).all()


@pytest.mark.parametrize("code_format", ["byte", "two-bytes"])
def test_the_inner_loop_for_amx_is_tile_loads_and_tile_products(tmp_path, code_format):
    script = (
        "import sys; import llvmlite.binding as llvm; llvm.initialize_all_targets(); llvm.initialize_all_asmprinters();"
        "from paconv.kernels.compile import compile_kernel, native_object; from paconv.kernels.levels import LEVELS;"
        "level = next(level for level in LEVELS if level.name == 'x86-64-v4-amx');"
        f"kernel = compile_kernel('accumulate_codes', ({FORMATS[code_format].number}, 0), level);"
        "open(sys.argv[1], 'wb').write(native_object([('kernel', kernel)], level, 'x86_64-unknown-linux-gnu'))"
    )
    path = tmp_path / "kernel.o"
    subprocess.run([sys.executable, "-c", script, str(path)], env=os.environ | {"NUMBA_OPT": "0"}, check=True)
    text = subprocess.run(["objdump", "-d", str(path)], capture_output=True, text=True, check=True).stdout
    for instruction in ("ldtilecfg", "tileloadd", "tdpbusd", "tilestored", "tilerelease"):
        assert instruction in text
    assert text.count("tdpbusd") >= (6 if code_format == "byte" else 9)

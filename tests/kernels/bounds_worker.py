"""Runs the kernels of a case with every buffer against a page that may not be touched: bounds_worker AMX_CPU SIDE.

SIDE "after": each buffer ends where such a page begins, but for its alignment; "before": it begins where one ends. The
process is killed by the first access outside. That the kernels did their work is checked too, bit for bit: PABitConv
on a grid against the integers, off it against a session; counts and the ops on levels against the numpy reference.
Prints the number of cases.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from itertools import product

import numpy as np

import paconv
from paconv.bits import WORD_BITS
from paconv.kernels.arguments import LANES, LEVEL_RUN, PEAK_RING
from paconv.kernels.blocking import peak_sums
from paconv.kernels.cpus import find_cpu
from paconv.reference import finish_level_conv, pa_bit_conv, pa_level_max_pool, pa_levels
from tests.bit_conv_cases import exact_output, grid_of, make_case, model_of
from tests.depthwise_cases import make_depthwise_case
from tests.kernel_arguments import (
    CHANNEL_LAST,
    arguments_of,
    compare_arguments_of,
    depthwise_arguments_of,
    level_arguments_of,
    pool_arguments_of,
)
from tests.kernels.linked import kernel
from tests.kernels.whole_conv import GARBAGE, Block, address, convolve
from tests.level_conv_cases import make_level_case

PAGE = mmap.PAGESIZE
ALIGNED = ("weight_words", "phi", "offset_alpha", "offset_taps", "out_scale", "out_bias", "start", "tap_weights")
ALIGNED += tuple(f"{name}_{k}" for name in ("thresholds", "flips") for k in (1, 2))
OUTPUTS = {name for name, _ in CHANNEL_LAST.values()}
PROT_NONE = 0


class Fenced:
    """A copy of an array between two pages that may not be touched."""

    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, array: np.ndarray, after: bool, alignment: int) -> None:
        size = -(-array.nbytes // alignment) * alignment
        room = -(-size // PAGE) * PAGE
        self.memory = mmap.mmap(-1, room + 2 * PAGE)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.address = self.start + PAGE + (room - size if after else 0)
        ctypes.memmove(self.address, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        self.array = np.ctypeslib.as_array((ctypes.c_uint8 * array.nbytes).from_address(self.address))
        for page in (self.start, self.start + PAGE + room):
            if self.libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")


class FencedBlock(Block):
    """An argument block whose buffers are fenced."""

    def __init__(self, cpu: str, after: bool, arrays: dict, numbers: dict) -> None:
        self.after, self.fences = after, []
        super().__init__(cpu, arrays, numbers)

    def place(self, name: str, array: np.ndarray) -> np.ndarray:
        fenced = Fenced(array, self.after, 64 if name in ALIGNED else array.itemsize)
        self.fences.append(fenced)
        if name in OUTPUTS:
            fenced.array[:] = GARBAGE
        return fenced.array.view(array.dtype).reshape(array.shape)


def awkward_cases():
    """Narrow, prime and strided sizes, each with few and many planes, one-hot or not, on a grid; and some off it."""
    rng = np.random.default_rng(0)
    point = dict(kernel=(1, 1), pads=(0, 0, 0, 0))
    sizes = [
        dict(channels=1, out=1, size=(1, 1), **point),
        dict(channels=3, out=5, size=(7, 13), kernel=(3, 5), pads=(1, 2, 0, 1), dilations=(2, 2)),
        dict(channels=8, out=17, size=(11, 64), strides=(2, 2), group=2, batch=2),
        dict(channels=16, out=16, size=(9, 71), strides=(1, 3), dilations=(2, 1), offsets=True),
        dict(channels=37, out=19, size=(5, 5), offsets=True),
        dict(channels=33, out=31, size=(13, 13), strides=(3, 2), **point),
        dict(channels=131, out=16, size=(17, 3), kernel=(3, 3), strides=(2, 1)),
        dict(channels=350, out=3, size=(3, 3), kernel=(3, 3), pads=(0, 0, 0, 0)),
        dict(channels=5, out=15, size=(4, 9), kernel=(5, 1), pads=(2, 0, 2, 0), group=3, batch=2),
        dict(channels=15, out=33, size=(3, 70), kernel=(1, 5), pads=(0, 2, 0, 2)),
        dict(channels=17, out=131, size=(5, 9), kernel=(2, 4), dilations=(1, 3), pads=(0, 5, 1, 4), batch=2),
        dict(channels=1, out=1, size=(9, 5), kernel=(4, 2), pads=(2, 1, 1, 0), group=33),
        dict(channels=131, out=5, size=(7, 11), strides=(2, 3), group=2, batch=2, **point),
        dict(channels=1, out=17, size=(6, 67), kernel=(5, 5), pads=(2, 2, 2, 2)),
    ]
    planes = [
        (1, 1, "one-hot", (1, 0, 1)),
        (2, 3, "thermometer", (15, -31, 31)),
        (3, 3, "binary", None),
        (8, 7, "one-hot", (15, 0, 63)),
    ]
    return [
        make_case(rng, M=M, N=N, level_coding=coding, grid=grid, **size)
        for size, (M, N, coding, grid) in product(sizes, planes)
    ]


def check_conv(case, kind: str, expected, cpu: str, after: bool) -> None:
    """Y of the case."""
    block = FencedBlock(cpu, after, *arguments_of(case, find_cpu(cpu), kind))
    convolve(block, kind, "gather" if kind == "planes" else "gather_codes")
    assert block.array("y").tobytes() == expected.tobytes(), kind


def check_counts(case, cpu: str, after: bool) -> None:
    """PABitConvCounts."""
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs).counts.astype(np.int32)
    arrays, numbers = arguments_of(case, find_cpu(cpu))
    block = FencedBlock(cpu, after, arrays | {"y": np.zeros_like(expected)}, numbers | {"wants_counts": 1})
    convolve(block, "planes", "gather")
    assert (block.array("y") == expected).all()


def check_level_conv(level_case, Y, kind: str, cpu: str, after: bool) -> None:
    """What a PALevelConv gives is the finish of Y (B, O, OH, OW)."""
    block = FencedBlock(cpu, after, *level_arguments_of(level_case, find_cpu(cpu), kind))
    convolve(block, kind, "gather_levels" if kind == "planes" else "gather_level_codes")
    channel_last = np.ascontiguousarray(Y.transpose(0, 2, 3, 1))
    expected = finish_level_conv(channel_last, level_case.residual, level_case.finish)
    for name in level_case.wanted:
        assert (block.array(CHANNEL_LAST[name][0]) == expected[name]).all(), (kind, name)


def check_convolutions(case, on_grid: bool, rng, cpu: str, after: bool) -> None:
    """PABitConvCounts; PABitConv and PALevelConv, by planes and, on a grid, by each kind of products of the CPU."""
    check_counts(case, cpu, after)
    if on_grid:
        expected = exact_output(case)
    else:
        session = paconv.InferenceSession(model_of(case).SerializeToString(), kernel="planes")
        (expected,) = session.run(None, {"X": case.X})
    finishes = [(("Y", "L1", "L2"), True), (("L2",), False), (("Y", "L1"), False), (("L1", "L2"), True)]
    for kind in ("planes", *(find_cpu(cpu).multipliers if on_grid else ())):
        check_conv(case, kind, expected, cpu, after)
        wanted, residual = finishes[rng.integers(len(finishes))]
        check_level_conv(make_level_case(case, rng, expected.shape, wanted, residual), expected, kind, cpu, after)


def check_compare(C: int, E: int, size, rng, cpu: str, after: bool) -> None:
    """PALevels, with an endpoint row for each channel and with one for all."""
    X = rng.standard_normal((2, *size, C)).astype(np.float32)
    for rows in {1, C}:
        v = np.sort(rng.standard_normal((rows, E)).astype(np.float32), axis=1)
        sign = rng.choice(np.array([-1, 1], np.int8), rows)
        block = FencedBlock(cpu, after, *compare_arguments_of(X, v, sign))
        block.run("levels_of_values", -(-X.size // C // LEVEL_RUN))
        assert (block.array("levels_1") == pa_levels(X, v, sign)).all()


def check_pool(C: int, kernel_shape, size, rng, cpu: str, after: bool) -> None:
    """PALevelMaxPool with as much padding as it takes."""
    strides = [int(s) for s in rng.integers(1, 4, 2)]
    pads = [kernel_shape[k % 2] - 1 for k in range(4)]
    L = rng.integers(0, 9, (2, *size, C), dtype=np.uint8)
    block = FencedBlock(cpu, after, *pool_arguments_of(L, kernel_shape, strides, pads))
    block.run("pool_levels", block.numbers["B"] * block.numbers["OH"])
    assert (block.array("levels_1") == pa_level_max_pool(L, kernel_shape, strides, pads)).all()


def check_depthwise(C: int, kernel_shape, size, rng, cpu: str, after: bool) -> None:
    """PADepthwiseConv with windows that lie in the padding."""
    strides, dilations = ([int(s) for s in rng.integers(1, 4, 2)] for _ in range(2))
    pads = [dilations[k % 2] * (kernel_shape[k % 2] - 1) for k in range(4)]
    case = make_depthwise_case(rng, C, size, kernel_shape, strides, pads, dilations)
    block = FencedBlock(cpu, after, *depthwise_arguments_of(case))
    block["accumulate"] = address(cpu, "depthwise_sums", (0, 0))
    block.run("depthwise_conv", block.numbers["B"] * block.numbers["OH"])
    for name, expected in case.expected.items():
        assert (block.array(CHANNEL_LAST[name][0]) == expected).all(), name


def check_peak(cpu: str, after: bool) -> None:
    """The peak's turns on words and weights of ones."""
    sums, rounds = peak_sums(find_cpu(cpu).budget), 3
    memory = np.full(PEAK_RING + 2 * sums * LANES, 2**32 - 1, np.uint32)
    fenced = Fenced(memory, after, 64)
    kernel(cpu, "popcount_peak")(fenced.address, rounds)
    counts = fenced.array[-4 * sums * LANES :]  # in words or bytes: at most 96 either way
    assert counts.sum() == sums * LANES * WORD_BITS * rounds


CHANNELS, SIZES = (1, 5, 15, 16, 17, 33, 131), ((1, 1), (3, 7), (8, LEVEL_RUN // 8), (9, 15))


def main(cpu: str, side: str) -> None:
    after, rng, done = side == "after", np.random.default_rng(1), 0
    check_peak(cpu, after)
    for case in awkward_cases():
        check_convolutions(case, grid_of(case) is not None, rng, cpu, after)
        done += 1
    for C, size in product(CHANNELS, SIZES):
        check_compare(C, int(rng.choice([1, 3, 255])), size, rng, cpu, after)
        check_pool(C, [int(k) for k in rng.integers(1, 6, 2)], size, rng, cpu, after)
        check_depthwise(C, [int(k) for k in rng.integers(1, 6, 2)], size, rng, cpu, after)
        done += 3
    print(done)


if __name__ == "__main__":
    main(*sys.argv[1:])

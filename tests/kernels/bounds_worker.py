"""Runs the kernels of a case with every buffer against a page that may not be touched: bounds_worker LEVEL SIDE.

SIDE "after": each buffer ends where such a page begins, but for its alignment; "before": it begins where one ends. The
process is killed by the first access outside. Prints the number of cases.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from itertools import product

import numpy as np

from paconv.kernels.arguments import CODING_HEAD, LOW_ZERO, F
from tests.bit_conv_cases import make_case
from tests.kernels.test_steps import kernel
from tests.library_build.test_cross_building import arguments_of

PAGE = mmap.PAGESIZE
ALIGNED = ("weight_words", "phi", "base", "offset_alpha", "offset_taps", "correction", "zero_dots")
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


def awkward_cases():
    """Narrow, prime and strided sizes, a large one for each."""
    rng = np.random.default_rng(0)
    sizes = [
        dict(channels=1, out=1, size=(1, 1), kernel=(1, 1), pads=(0, 0, 0, 0)),
        dict(channels=3, out=5, size=(7, 13), kernel=(3, 5), pads=(1, 2, 0, 1), dilations=(2, 2)),
        dict(channels=8, out=17, size=(11, 64), strides=(2, 2), group=2, batch=2),
        dict(channels=16, out=16, size=(9, 71), strides=(1, 3), dilations=(2, 1), offsets=True),
        dict(channels=37, out=19, size=(5, 5), offsets=True),
        dict(channels=33, out=31, size=(13, 13), kernel=(1, 1), pads=(0, 0, 0, 0), strides=(3, 2)),
        dict(channels=131, out=16, size=(17, 3), kernel=(3, 3), strides=(2, 1)),
        dict(channels=350, out=3, size=(3, 3), kernel=(3, 3), pads=(0, 0, 0, 0)),
    ]
    planes = [(1, 1), (2, 3), (8, 7)]
    return [make_case(rng, M=M, N=N, **size) for size, (M, N) in product(sizes, planes)]


def run(case, D: int, level: str, after: bool) -> bytes:
    """Y of the case, by planes (D = 0) or codes."""
    arrays, sizes = arguments_of(case, D)
    fenced = {name: Fenced(array, after, 64 if name in ALIGNED else array.itemsize) for name, array in arrays.items()}
    fields = np.zeros(len(F), np.int64)
    for name, value in {**sizes, **{name: buffer.address for name, buffer in fenced.items()}}.items():
        fields[getattr(F, name)] = value
    name, variant = ("accumulate_codes", (D, D)) if D else ("accumulate", (sizes["M"], sizes["N"]))
    function, fields[F.tile] = kernel(level, name, *variant)
    fields[F.accumulate] = ctypes.cast(function, ctypes.c_void_p).value
    images = sizes["B"] * sizes["G"]
    blocks = sizes["G"] * sizes["OB"]
    steps = [
        ("prepare_codes" if D else "prepare_weights", blocks),
        ("gather_codes" if D else "gather", images * sizes["gather_runs"]),
        ("fold", images * sizes["Hp"] * sizes["folded"]),
        ("conv_codes" if D else "conv", images * sizes["pixel_chunks"] * sizes["block_chunks"]),
    ]
    if D:
        kernel(level, "prepare_coding")[0](fields.ctypes.data, 0)
        high = int(fenced["coding"].array.view(np.float64)[CODING_HEAD - 1])
        words = fenced["words"].array.reshape(-1, D, 4)
        words[:, 0], words[:, 1:] = high, LOW_ZERO
    for step, tasks in steps:
        for task in range(tasks):
            kernel(level, step)[0](fields.ctypes.data, task)
    return fenced["y"].array.tobytes()


def main(level: str, side: str) -> None:
    cases = awkward_cases()
    for case in cases:
        for D in (0, 1, 2):
            run(case, D, level, side == "after")
    print(len(cases))


if __name__ == "__main__":
    main(*sys.argv[1:])

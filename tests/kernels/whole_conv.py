"""A PABitConv by level codes, its kernels called one by one with any accumulate function."""

from __future__ import annotations

import numpy as np

from paconv.kernels.arguments import LOW_ZERO, F
from paconv.runtime.library import cpu_levels
from tests.kernel_arguments import arguments_of
from tests.kernels.test_codes import aligned
from tests.kernels.test_steps import kernel


def conv_by_codes(case, code_format: str, accumulate: int, pixels: int, blocks: int) -> tuple[np.ndarray, float]:
    """(Y, estimated error), with the accumulate function at this address, of a tile of pixels x blocks."""
    arrays, numbers = arguments_of(case, code_format)
    placed = {}
    for name, array in arrays.items():
        placed[name] = aligned(array.shape, array.dtype)
        placed[name][...] = array
    arguments = np.zeros(len(F), np.int64)
    for name, array in placed.items():
        arguments[getattr(F, name)] = array.ctypes.data
    numbers |= {"accumulate": accumulate, "tile": pixels, "tile_blocks": blocks}
    for name, value in numbers.items():
        arguments[getattr(F, name)] = value

    def run(name: str, tasks: int) -> None:
        task = kernel(cpu_levels()[0], name)[0]
        for number in range(tasks):
            task(arguments.ctypes.data, number)

    run("prepare_coding", 1)
    words = placed["words"].view(np.uint8).reshape(*placed["words"].shape, 4)
    words[..., 0, :] = int(placed["coding"][3])  # window padding
    words[..., 1:, :] = LOW_ZERO
    run("prepare_codes", numbers["G"] * numbers["OB"])
    run("gather_codes", numbers["B"] * numbers["G"] * numbers["gather_runs"])
    run("conv_codes", numbers["B"] * numbers["G"] * numbers["pixel_chunks"])
    return placed["y"], placed["coding"][2]

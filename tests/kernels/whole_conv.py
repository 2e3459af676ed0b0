"""A whole PABitConv or PALevelConv from its kernels, one after the other, without onnxruntime."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np

from paconv.bits import MAX_PLANES, WORD_BITS
from paconv.kernels.arguments import CODING, MIN_SPAN, F
from paconv.kernels.cpus import Multiplier, find_cpu
from paconv.kernels.registry import kind_number, microkernels
from tests.kernel_arguments import arguments_of
from tests.kernels.linked import aligned, kernel

__all__ = ["GARBAGE", "Block", "address", "convolve", "longest_span", "output_of"]

GARBAGE = 0xA5
"""In memory that the shim does not clear."""


class Block:
    """An argument block with arrays of its own, and the tasks of a CPU on it."""

    def __init__(self, cpu: str, arrays: dict, numbers: dict) -> None:
        self.cpu, self.numbers = cpu, numbers
        self.fields = np.zeros(F.count, np.int64)
        self._placed = {name: self.place(name, array) for name, array in arrays.items()}
        for name, value in {**numbers, **{name: a.ctypes.data for name, a in self._placed.items()}}.items():
            self[name] = value

    def place(self, name: str, array: np.ndarray) -> np.ndarray:
        """A copy of the array where the kernels find it."""
        placed = aligned(array.shape, array.dtype)
        placed[...] = array
        return placed

    def __setitem__(self, field: str, value: int) -> None:
        self.fields[getattr(F, field)] = value

    def array(self, name: str) -> np.ndarray:
        return self._placed[name]

    def run(self, name: str, tasks: int) -> None:
        task = kernel(self.cpu, name)
        for number in range(tasks):
            task(self.fields.ctypes.data, number)


def convolve(block: Block, kind: str, gather: str, accumulate: int = 0) -> None:
    """The tasks of a convolution, by planes or by codes with a kind of products. accumulate: the address of another
    accumulate function of codes.
    """
    numbers, coded = block.numbers, kind != "planes"
    images, blocks = numbers["B"] * numbers["G"], numbers["G"] * numbers["OB"]
    parts = -(-numbers["CG"] // WORD_BITS) if gather == "gather" else 1
    block["gather_parts"] = parts
    block.run("prepare_coding", 1)
    padding = int(block.array("coding")[CODING.zero]) & 255 if coded else 0
    block.array("words").view(np.uint8)[...] = padding
    inside(block).view(np.uint8)[...] = GARBAGE
    functions = plane_functions(block.cpu)
    if coded:
        block["accumulate"] = accumulate or address(block.cpu, "accumulate_codes", (kind_number(kind), 0))
    else:
        block["accumulate"] = functions.ctypes.data
    block.run("prepare_codes" if coded else "prepare_weights", blocks)
    block["span"] = longest_span(block.array("span_sums"))
    block.run(gather, images * numbers["gather_runs"] * parts)
    if numbers["by_rows"]:
        block.run("window_rows", images * numbers["Hp"])
    tasks = images * numbers["pixel_chunks"] * numbers["block_chunks"]
    block.run("conv_codes" if coded else "conv", tasks)


def output_of(case, cpu: str, kind: str, accumulate: int = 0, tile: Multiplier | None = None) -> np.ndarray:
    """Y of a PABitConv. accumulate: as for `convolve`, with a tile of its own."""
    about = find_cpu(cpu)
    if tile is not None:
        about = replace(about, multipliers=about.multipliers | {kind: tile})
    block = Block(cpu, *arguments_of(case, about, kind))
    convolve(block, kind, "gather_codes" if kind != "planes" else "gather", accumulate=accumulate)
    return block.array("y")


def inside(block: Block) -> np.ndarray:
    """The words (B, G, H, W, ...) that are not window padding."""
    top, left = block.numbers["PT"], block.numbers["PL"]
    B, G, Hp, Wp, CW = (block.numbers[name] for name in ("B", "G", "Hp", "Wp", "CW"))
    words = block.array("words")[: B * G * Hp * Wp * CW * (1 if block.numbers["coded"] else block.numbers["N"])]
    return words.reshape(B, G, Hp, Wp, CW, -1)[:, :, top : top + block.numbers["H"], left : left + block.numbers["W"]]


def longest_span(span_sums: np.ndarray) -> int:
    """Words of the longest span whose sums fit 16 bits in every block, by span_sums (blocks, SPANS)."""
    fits = np.logical_and.accumulate((span_sums <= np.iinfo(np.int16).max).all(0))
    return MIN_SPAN << max(0, int(fits.sum()) - 1)


def plane_functions(cpu: str) -> np.ndarray:
    """The addresses of the accumulate functions of planes, by m and n."""
    functions = np.zeros((MAX_PLANES + 1, MAX_PLANES + 1), np.int64)
    for each in microkernels(find_cpu(cpu)):
        if each.name == "accumulate":
            functions[each.variant] = address(cpu, "accumulate", each.variant)
    return functions


def address(cpu: str, name: str, variant: tuple[int, int]) -> int:
    return ctypes.cast(kernel(cpu, name, *variant), ctypes.c_void_p).value

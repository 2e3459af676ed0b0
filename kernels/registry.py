"""Every kernel, listed once: the runtime, the tests and the benchmarks read this list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numba import cfunc, types

from paconv.bits import MAX_PLANES
from paconv.kernels.conv import make_conv, make_counts
from paconv.kernels.gather import gather
from paconv.kernels.weights import prepare_weights

__all__ = ["KERNELS", "Kernel", "compile_kernel"]


@dataclass(frozen=True)
class Kernel:
    """A kernel's name, how it is made, and whether it is made anew for each (M, N)."""

    name: str
    make: Callable
    per_planes: bool


KERNELS = {
    k.name: k
    for k in (
        Kernel("prepare_weights", lambda: prepare_weights, per_planes=False),
        Kernel("gather", lambda: gather, per_planes=False),
        Kernel("conv", make_conv, per_planes=True),
        Kernel("counts", make_counts, per_planes=True),
    )
}

_SIGNATURE = types.void(types.voidptr, types.uintp)


def compile_kernel(name: str, M: int = 0, N: int = 0, *, cache: bool = True):
    """Compile a kernel for the host: returns Numba's cfunc object; its `.address` is `void (*)(void *, size_t)`.

    M and N matter only to kernels made per planes. Raises ValueError for planes outside 1..MAX_PLANES.
    """
    kernel = KERNELS[name]
    if not kernel.per_planes:
        function = kernel.make()
    elif 1 <= M <= MAX_PLANES and 1 <= N <= MAX_PLANES:
        function = kernel.make(M, N)
    else:
        raise ValueError(f"expected M and N in 1..{MAX_PLANES}; found M={M}, N={N}")
    return cfunc(_SIGNATURE, error_model="numpy", boundscheck=False, cache=cache)(function)

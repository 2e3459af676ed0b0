"""A shim without kernels of its own, as `link_library` makes it for no CPU: what it has to be told."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from paconv.bits import MAX_PLANES
from paconv.kernels.blocking import blocking
from paconv.kernels.cpus import Cpu
from paconv.kernels.rates import rates_of
from paconv.kernels.registry import KINDS, kind_number, plane_pairs

__all__ = ["install_cpu", "install_kernel", "set_resolver"]

_RESOLVER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_resolvers: list[object] = []
"""They must live as long as the process: shims hold their addresses."""


def install_cpu(library: ctypes.CDLL, cpu: Cpu) -> None:
    """What the shim needs to know of the CPU besides its kernels."""
    size = MAX_PLANES + 1
    rates = rates_of(cpu)
    blockings, planes = np.zeros((size, size, 3), np.int64), np.zeros((size, size))
    for M, N in plane_pairs():
        plan = blocking(M, N, cpu.budget)
        blockings[M, N], planes[M, N] = (plan.pixels, plan.parts_M, plan.parts_N), rates.planes[M, N]
    multipliers, codes = np.zeros((len(KINDS) + 1, 3), np.int64), np.zeros(len(KINDS) + 1)
    for kind, each in cpu.multipliers.items():
        number = kind_number(kind)
        multipliers[number], codes[number] = (each.pixels, each.blocks, each.words), rates.codes[kind]
    library.paconv_install_cpu.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 4]
    library.paconv_install_cpu(
        int(cpu.signed_codes), *(values.ctypes.data for values in (blockings, multipliers, planes, codes))
    )


def install_kernel(library: ctypes.CDLL, name: str, variant: tuple[int, int], address: int) -> None:
    """Gives the shim a kernel. Raises ValueError for a name that it doesn't know."""
    library.paconv_install.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    if not library.paconv_install(name.encode(), *variant, address):
        raise ValueError(f"the shim does not know the kernel {name}")


def set_resolver(library: ctypes.CDLL, resolve: Callable[[int, int], bool]) -> None:
    """From now on nodes use installed kernels; resolve(M, N) installs what a node needs, and must not raise."""
    resolver = _RESOLVER(lambda M, N: int(resolve(M, N)))
    _resolvers.append(resolver)
    library.paconv_set_resolver(resolver)

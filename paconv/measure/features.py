"""The vector and integer instructions that this process may use, under Linux's names for them.

On x86 the process asks its own CPU, through glibc from 2.33 on: /proc/cpuinfo describes the machine's, which is another
one where the process runs under qemu. Elsewhere /proc/cpuinfo says.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["DOT_PRODUCTS", "VECTORS", "VNNI", "cpu_features", "cpu_info"]

VNNI = ("avx_vnni", "avx512_vnni")
"""Either of these multiplies bytes without saturation on x86."""

DOT_PRODUCTS = (*VNNI, "amx_int8", "asimddp", "i8mm")
"""Integer dot-product instructions, on x86 and ARM."""

VECTORS = (
    "sse4_2", "avx2", "fma", "avx512f", "avx512bw", "avx512_vpopcntdq", "avx512_bitalg", "avx512_vbmi", "amx_tile",
    "asimd", "sve",
)  # fmt: skip
"""The other vector instructions that kernels are made of."""

_CPU_INFO = Path("/proc/cpuinfo")

_EAX, _EBX, _ECX, _EDX = range(4)
_LEAF_1, _LEAF_7, _LEAF_7_1 = 0, 1, 6
"""glibc's numbers of CPUID's leaves (sys/platform/x86.h)."""

_BITS = {
    "sse4_2": (_LEAF_1, _ECX, 20),
    "fma": (_LEAF_1, _ECX, 12),
    "avx2": (_LEAF_7, _EBX, 5),
    "avx512f": (_LEAF_7, _EBX, 16),
    "avx512bw": (_LEAF_7, _EBX, 30),
    "avx512_vbmi": (_LEAF_7, _ECX, 1),
    "avx512_vnni": (_LEAF_7, _ECX, 11),
    "avx512_bitalg": (_LEAF_7, _ECX, 12),
    "avx512_vpopcntdq": (_LEAF_7, _ECX, 14),
    "amx_tile": (_LEAF_7, _EDX, 24),
    "amx_int8": (_LEAF_7, _EDX, 25),
    "avx_vnni": (_LEAF_7_1, _EAX, 4),
}
"""Name -> leaf, register, bit. All of VECTORS and DOT_PRODUCTS that x86 has."""


class _Leaf(ctypes.Structure):
    """glibc's struct cpuid_feature: registers EAX, EBX, ECX, EDX as the CPU has them, and what of that is usable."""

    _fields_ = [("cpuid", ctypes.c_uint * 4), ("active", ctypes.c_uint * 4)]


def cpu_features() -> frozenset[str]:
    """Those of VECTORS and DOT_PRODUCTS that are there; empty where nothing says."""
    asked = _asked()
    if asked is not None:
        return asked
    told = (cpu_info().get("flags") or cpu_info().get("Features") or "").split()
    return frozenset(told) & {*VECTORS, *DOT_PRODUCTS}


@cache
def cpu_info() -> Mapping[str, str]:
    """Fields of the machine's first processor, empty where the system doesn't say."""
    if not _CPU_INFO.exists():
        return {}
    first = _CPU_INFO.read_text().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


@cache
def _asked() -> frozenset[str] | None:
    """What CPUID says in this process, None where it can't be asked: not x86, another C library, an old one."""
    try:
        ask = ctypes.CDLL(None).__x86_get_cpuid_feature_leaf
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        return None
    ask.argtypes, ask.restype = [ctypes.c_uint], ctypes.POINTER(_Leaf)
    return frozenset(name for name, (leaf, register, bit) in _BITS.items()
                     if ask(leaf).contents.active[register] >> bit & 1)  # fmt: skip

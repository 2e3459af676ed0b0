"""Instructions of some CPUs alone, which LLVM knows as llvm.x86 functions.

Numba compiles each kernel for the machine it runs on, also when it is only asked for LLVM's text to make objects of
(kernels/compile.py), and LLVM ends the process over an instruction that this machine doesn't have. So ahead of time,
which is when Numba's optimizer is off, kernels call a stand-in, and `real_names` puts the instructions' names into the
text.
"""

from __future__ import annotations

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils

__all__ = ["call_instruction", "real_names"]

_STAND_IN = "stand_in.llvm."


def call_instruction(builder, result, name: str, *arguments):
    """Call "llvm." + name, which takes the arguments and returns a `result`."""
    kind = ir.FunctionType(result, [a.type for a in arguments])
    full = f"llvm.{name}"
    if int(numba.config.OPT) == 0:
        full = _STAND_IN + name
        llvm.add_symbol(full, 1)  # it is never called
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), arguments)


def real_names(text: str) -> str:
    """LLVM's text with the instructions in place of their stand-ins."""
    return text.replace(f"@{_STAND_IN}", "@llvm.")

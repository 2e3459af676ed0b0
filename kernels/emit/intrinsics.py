"""Instructions of some CPUs alone, which LLVM knows as functions: llvm.x86.*, llvm.aarch64.*."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

__all__ = ["call_instruction"]


def call_instruction(builder, result, name: str, *arguments):
    """Call "llvm." + name, which takes the arguments and returns a `result`.

    Only microkernels may: tasks are compiled for the machine that builds them first, and LLVM ends the process over an
    instruction that this machine doesn't have.
    """
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}"), arguments)

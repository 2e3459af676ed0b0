"""LLVM instructions inside Numba functions, and calls of functions by address."""

from __future__ import annotations

import inspect

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from paconv.kernels.emit.vectors import i64

__all__ = ["caller", "emitted"]


def emitted(body, floats: tuple[str, ...] = (), result=types.void):
    """Of body(builder, *arguments), which emits instructions and returns their value: a function for Numba.

    Its arguments are int64, addresses among them, but for those in `floats`, which are float32; `result` is the type of
    what it returns.
    """
    return _inlined(body, list(inspect.signature(body).parameters)[1:], floats, result)


def caller(*arguments: str):
    """A function for Numba that calls the one at `address`, its first argument; all arguments are int64."""

    def body(builder, address, *values):
        kind = ir.FunctionType(ir.VoidType(), [i64] * len(values))
        builder.call(builder.inttoptr(address, kind.as_pointer()), values)

    return _inlined(body, ["address", *arguments], (), types.void)


def _inlined(body, names: list[str], floats: tuple[str, ...], result):
    signature = result(*(types.float32 if name in floats else types.int64 for name in names))

    def typed(typingctx, *arguments):
        def codegen(context, builder, _, args):
            value = body(builder, *args)
            return context.get_dummy_value() if value is None else value

        return signature, codegen

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ("typingctx", *names)]
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # mypy doesn't know it
    typed.__name__, typed.__doc__ = body.__name__, body.__doc__
    return intrinsic(typed)

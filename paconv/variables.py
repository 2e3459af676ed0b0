"""The environment variables of paconv: what each means, and the one place in Python that reads them.

The custom-op library reads its own in C. docs/environment.md is written from VARIABLES (`make docs`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["VARIABLES", "Variable", "cache_folder", "cpu", "given", "jit", "kernel", "markdown", "traceback"]

_PYTHON, _LIBRARY = "Python", "the library"


@dataclass(frozen=True)
class Variable:
    """An environment variable."""

    name: str

    values: str
    """What it may be set to."""

    default: str
    """What holds where it isn't set, or empty."""

    meaning: str

    readers: tuple[str, ...]
    """Who reads it: Python, the library (in C), or both."""


_CPU = Variable(
    "PACONV_CPU",
    "a CPU whose kernels this one runs: x86-64-v2, x86-64-v3, x86-64-v4, x86-64-v4-vpopcntdq, x86-64-v4-amx, armv8-a, "
    "armv8.2-a-dotprod",
    "the highest of them",
    "The CPU whose kernels sessions get. Results are the same bit for bit with all of them.",
    (_PYTHON, _LIBRARY),
)
_KERNEL = Variable(
    "PACONV_KERNEL",
    "`auto`, `codes`, `planes`",
    "`auto`: the faster exact one, layer by layer",
    "Kernel of every PABitConv in sessions that don't ask for one (`paconv.InferenceSession(path, kernel=...)`, "
    "configuration entry `paconv.kernel`).",
    (_PYTHON, _LIBRARY),
)
_CACHE = Variable(
    "PACONV_CACHE",
    "a folder",
    "`$XDG_CACHE_HOME/paconv`, else `~/.cache/paconv`",
    "Where measured rates (`paconv inspect --measure`, `paconv cost --host`) and kernels of PACONV_JIT are kept.",
    (_PYTHON, _LIBRARY),
)
_JIT = Variable(
    "PACONV_JIT",
    "`1`; `0` or empty is as if it weren't set",
    "the built library is used",
    "For who changes kernels: Numba compiles them in the process, when a node needs them.",
    (_PYTHON,),
)
_TRACEBACK = Variable(
    "PACONV_TRACEBACK",
    "anything",
    "one line on stderr",
    "The command line shows where an unexpected error comes from.",
    (_PYTHON,),
)

VARIABLES = (_CPU, _KERNEL, _CACHE, _JIT, _TRACEBACK)

_OTHERS = (
    ("XDG_CACHE_HOME, HOME", "The user's cache folder, where PACONV_CACHE doesn't say another."),
    ("CC", "The C compiler that links the library for this platform."),
    ("OMP_NUM_THREADS", "Read by torch and numpy, not by paconv; stored with measurements, as it can change them."),
    ("RANK, WORLD_SIZE, LOCAL_RANK", "Set by torchrun for each process of a training."),
)
"""Names of others, and what they are to paconv."""


def cpu() -> str | None:
    """The CPU that PACONV_CPU names, None for the highest."""
    return _value(_CPU) or None


def kernel() -> str | None:
    """The kernel that PACONV_KERNEL names, None where it names none."""
    return _value(_KERNEL) or None


def cache_folder() -> Path:
    """Where rates and compiled kernels are kept; it need not be there yet."""
    if own := _value(_CACHE):
        return Path(own)
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "paconv"


def jit() -> bool:
    """Whether kernels are compiled in this process."""
    return _value(_JIT) not in ("", "0")


def traceback() -> bool:
    """Whether an unexpected error is shown with its traceback."""
    return bool(_value(_TRACEBACK))


def given() -> dict[str, str]:
    """Those variables that are set and change what is measured, as they are set."""
    asked = (_CPU.name, _KERNEL.name, _JIT.name, "OMP_NUM_THREADS")
    return {name: os.environ[name] for name in asked if name in os.environ}


def _value(variable: Variable) -> str:
    return os.environ.get(variable.name, "")


def markdown() -> str:
    """The text of docs/environment.md."""
    head = ("variable", "values", "where it isn't set", "meaning", "read by")
    rows = [(f"`{v.name}`", v.values, v.default, v.meaning, " and ".join(v.readers)) for v in VARIABLES]
    others = [(", ".join(f"`{name}`" for name in names.split(", ")), meaning) for names, meaning in _OTHERS]
    parts = [
        "# Environment variables",
        "Written from `paconv/variables.py` by `make docs`; the tests compare the two.",
        _table(head, rows),
        "Of other programs' variables:",
        _table(("variable", "meaning"), others),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *rows))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")

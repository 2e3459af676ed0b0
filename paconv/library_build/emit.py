"""Emit the native objects of a target: `python -m paconv.library_build.emit TARGET FOLDER`, one LEVEL.o a CPU level.

Runs in a process of its own, because Numba's optimizer is switched off by an environment variable that Numba reads
when it is imported (see kernels/compile.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["emit"]


def emit(target_name: str, folder: Path) -> None:
    """Write an object for each level of the target into `folder`."""
    os.environ["NUMBA_OPT"] = "0"
    import llvmlite.binding as llvm

    from paconv.kernels.compile import compile_kernel, native_object
    from paconv.kernels.levels import levels_of
    from paconv.kernels.native import kernel_symbol
    from paconv.kernels.registry import KERNELS
    from paconv.library_build.targets import find_target

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = find_target(target_name)
    levels = levels_of(target.architecture)
    shared = [name for name, kernel in KERNELS.items() if not kernel.variants and not kernel.per_level]
    tasks = {name: compile_kernel(name, (0, 0), levels[0]) for name in shared}
    for level in levels:
        compiled = [(kernel_symbol(level, name), kernel) for name, kernel in tasks.items()]
        compiled += [
            (kernel_symbol(level, name, variant), compile_kernel(name, variant, level))
            for name, kernel in KERNELS.items()
            if name not in tasks
            for variant in kernel.variants_at(level) or [(0, 0)]
        ]
        (folder / f"{level.name}.o").write_bytes(native_object(compiled, level, target.triple))
        print(level.name, flush=True)


if __name__ == "__main__":
    emit(sys.argv[1], Path(sys.argv[2]))

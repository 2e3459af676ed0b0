"""Emit the native objects of a target: `python -m paconv.library_build.emit TARGET FOLDER CPU...`, a CPU.o for each.

Runs in a process of its own, because Numba's optimizer is switched off by an environment variable that Numba reads
when it is imported (see kernels/emit/compile.py). Numba's part is done once, task by task, and LLVM's for each CPU,
on as many processes as there are cores.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from paconv.cores import usable_cores

__all__ = ["emit"]


def emit(target_name: str, folder: Path, cpu_names: list[str]) -> None:
    """Write an object for each of these CPUs of the target into `folder`, and print its name when it is there."""
    os.environ["NUMBA_OPT"] = "0"
    from paconv.kernels.registry import KERNELS

    with ProcessPoolExecutor(usable_cores()) as pool:
        tasks = dict(zip(KERNELS, pool.map(_task_text, KERNELS), strict=True))
        jobs = [
            pool.submit(_emit_cpu, target_name, folder, name, tasks, lowest=name == cpu_names[0]) for name in cpu_names
        ]
        for job in as_completed(jobs):
            print(job.result(), flush=True)


def _task_text(name: str):
    from paconv.kernels.emit.compile import task_text

    return task_text(name)


def _emit_cpu(target_name: str, folder: Path, name: str, tasks: dict, lowest: bool) -> str:
    """The object of one CPU; lowest: with the tasks that one CPU has for all."""
    import llvmlite.binding as llvm

    from paconv.kernels.cpus import find_cpu
    from paconv.kernels.emit.compile import native_object
    from paconv.kernels.native import microkernel_symbol, task_symbol
    from paconv.kernels.registry import microkernel_home, microkernels, task_home
    from paconv.library_build.targets import find_target

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    cpu = find_cpu(name)
    homes = {task: task_home(cpu, task) for task in tasks}
    named = {
        task_symbol(cpu, task): text
        for task, text in tasks.items()
        if homes[task] == cpu or (homes[task] is None and lowest)
    }
    wanted = {microkernel_symbol(cpu, m): m for m in microkernels(cpu) if microkernel_home(cpu, m) == cpu}
    (folder / f"{name}.o").write_bytes(native_object(named, wanted, cpu, find_target(target_name).triple))
    return name


if __name__ == "__main__":
    emit(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])

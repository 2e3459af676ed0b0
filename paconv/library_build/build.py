"""`build_library`: kernels emitted for every CPU of a target, linked with the shim into one shared library."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from paconv.errors import PaconvError, UsageError
from paconv.files import replacing
from paconv.kernels import native
from paconv.kernels.cpus import Cpu, cpus_of
from paconv.library_build.targets import Target

__all__ = ["build_library", "chosen_cpus", "is_current", "link_library"]


def build_library(
    target: Target,
    output: Path,
    progress: Callable[[str], None] | None = None,
    cpus: Sequence[Cpu] | None = None,
) -> None:
    """Build the library of `target` into the file `output`.

    Args:
        target: The platform.
        output: Left as it was if anything fails.
        progress: Called with the name of each CPU when its kernels are done.
        cpus: Whose kernels it holds; None is all of the target's architecture.

    Raises:
        PaconvError: There is no compiler or Numba, or a step fails.
    """
    if importlib.util.find_spec("numba") is None:
        raise PaconvError('building the library needs Numba: pip install "numba>=0.61.2"')
    _need_compiler(target)
    wanted = cpus_of(target.architecture) if cpus is None else cpus
    with replacing(output) as result, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _emit(target, folder, wanted, progress)
        link_library(target, result, wanted, [folder / f"{cpu.name}.o" for cpu in wanted])


def is_current(library: Path, cpus: Sequence[Cpu] = ()) -> bool:
    """Whether `library` exists, was built from the present sources and holds the kernels for these CPUs."""
    if not library.exists():
        return False
    code = library.read_bytes()
    return all(text.encode() in code for text in (native.library_info(), *(f"\0{cpu.name}\0" for cpu in cpus)))


def chosen_cpus(target: Target, names: Sequence[str]) -> list[Cpu]:
    """The CPUs of these names, lowest first, with those whose machine code they share.

    Args:
        target: The platform.
        names: Of CPUs, or "host" for what this machine runs fastest; none of them is all of the target's architecture.

    Raises:
        UsageError: The target's architecture hasn't got a CPU of that name, or this machine isn't the target.
    """
    known = cpus_of(target.architecture)
    if not names:
        return known
    wanted, choices = set(names), ", ".join(cpu.name for cpu in known)
    if "host" in wanted and not target.is_host:
        raise UsageError(f"--cpu host: this machine is none for {target.name}; expected {choices}")
    if "host" in wanted:
        from paconv.kernels.emit.compile import host_cpus

        wanted = wanted - {"host"} | {cpu.name for cpu in host_cpus()}
    unknown = sorted(wanted - {cpu.name for cpu in known})
    if unknown:
        host = "host, " if target.is_host else ""
        raise UsageError(f"unknown CPU {unknown[0]!r} of {target.name}: expected {host}{choices}")
    wanted |= {cpu.base for cpu in known if cpu.name in wanted}
    return [cpu for cpu in known if cpu.name in wanted]


def link_library(target: Target, output: Path, cpus: Sequence[Cpu], objects: Sequence[Path]) -> None:
    """Compile the shim and link it with the objects of `cpus` (none: a library to install kernels into)."""
    compiler = _need_compiler(target)
    with tempfile.TemporaryDirectory() as headers, replacing(output) as result:
        (Path(headers) / "paconv_tables.h").write_text(native.tables_header())
        (Path(headers) / "paconv_cpus.h").write_text(native.cpus_header(cpus))
        command = [
            *compiler.split(), "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-fPIC", "-shared",
            "-fvisibility=hidden", "-Wall", "-Wextra", f"-I{headers}", *map(str, native.SOURCES), *map(str, objects),
            "-o", str(result), *target.link,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PaconvError(f"linking the library with {compiler} failed: {_first_line(done.stderr)}")


def _need_compiler(target: Target) -> str:
    compiler = target.compiler()
    if compiler is None:
        wanted = "install gcc or clang, or set CC" if target.is_host else f"install {' or '.join(target.compilers)}"
        raise PaconvError(f"building the library for {target.name} needs a C compiler: {wanted}")
    return compiler


def _emit(target: Target, folder: Path, cpus: Sequence[Cpu], progress: Callable[[str], None] | None) -> None:
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"NUMBA_OPT": "0", "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    names = [cpu.name for cpu in cpus]
    command = [sys.executable, "-m", "paconv.library_build.emit", target.name, str(folder), *names]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        for line in process.stdout or ():
            if progress:
                progress(line.strip())
        process.wait()
        errors.seek(0)
        error = errors.read()
    if process.returncode:
        raise PaconvError(f"compiling the kernels for {target.name} failed: {_last_line(error)}")


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if "error" in line or "undefined" in line), text.strip()[:200])


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no message")

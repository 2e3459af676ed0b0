"""What the mutated files are opened with: the library, or its shim under AddressSanitizer; and memory with fences.

Fenced: in a process that was started with `fenced()` every block that is aligned, which all of a node's memory and
onnxruntime's tensors are, ends at a page that may not be touched, so that no kernel of the built library steps outside
unseen. Sanitized: in one that was started with `sanitized()` the shim is compiled with AddressSanitizer and
UndefinedBehaviorSanitizer, and calls the kernels of the built library.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from functools import cache
from pathlib import Path

import onnxruntime as ort

from paconv.kernels.cpus import find_cpu
from paconv.kernels.registry import FAMILIES, KERNELS
from paconv.library_build.build import link_library
from paconv.library_build.targets import host_target
from paconv.runtime.library import active_cpu, library_path, load_library
from paconv.runtime.shim import install_cpu, install_kernel, set_resolver

__all__ = ["SHIM", "fenced", "sanitized", "session_options"]

SHIM = "FUZZ_SHIM"
"""Variable: the sanitized shim to be used."""

SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"


def session_options(kernel: str) -> ort.SessionOptions:
    """Options with the library, or what SHIM names, registered for `kernel`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.add_session_config_entry("paconv.kernel", kernel)
    options.register_custom_ops_library(_shim(os.environ[SHIM]) if SHIM in os.environ else library_path())
    return options


def fenced(folder: Path) -> dict[str, str]:
    """Variables of a process whose aligned memory is fenced; what is compiled goes into `folder`."""
    path = folder / "fence.so"
    source = Path(__file__).with_name("fence.c")
    subprocess.run(["cc", "-O2", "-Wall", "-shared", "-fPIC", source, "-o", path, "-ldl"], check=True)
    return {"LD_PRELOAD": str(path)}


def sanitized(folder: Path) -> dict[str, str]:
    """Variables of a process that uses a sanitized shim, which goes into `folder`."""
    path, before = folder / "libpaconv-sanitized.so", os.environ.get("CC")
    os.environ["CC"] = f"gcc {SANITIZERS}"
    try:
        link_library(host_target(), path, cpus=(), objects=())
    finally:
        os.environ.pop("CC") if before is None else os.environ.update(CC=before)
    found = [_runtime(name) for name in ("libasan.so", "libubsan.so")]
    # Without its own handlers a fault ends the process by SIGABRT. An allocation that is too large gives NULL.
    options = "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:max_allocation_size_mb=4096"
    variables = {"LD_PRELOAD": ":".join(found), "ASAN_OPTIONS": options, "UBSAN_OPTIONS": "abort_on_error=1"}
    return variables | {SHIM: str(path)}


def _runtime(name: str) -> str:
    """Path of a library of gcc's."""
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@cache
def _shim(path: str) -> str:
    """The sanitized shim at `path`, given the built library's kernels for this CPU."""
    shim, cpu = ctypes.CDLL(path), find_cpu(active_cpu())
    install_cpu(shim, cpu)

    def install(name: str, first: int, second: int) -> None:
        address = load_library().paconv_kernel(cpu.name.encode(), name.encode(), first, second)
        install_kernel(shim, name, (first, second), address)

    def resolve(M: int, N: int) -> bool:
        for each in (k for family in FAMILIES.values() for k in family.of_node(cpu, M, N)):
            install(each.name, *each.variant)
        return True

    for name in KERNELS:
        install(name, 0, 0)
    resolve(1, 1)  # nodes without planes ask for none
    set_resolver(shim, resolve)
    return path

"""The platforms a library can be built for."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from paconv.errors import UsageError

__all__ = ["BUILT", "TARGETS", "Target", "find_target", "host_target"]

_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
BUILT = Path(__file__).resolve().parents[1] / "runtime" / f"libpaconv{_SUFFIX}"
"""Where the package's library is built."""


@dataclass(frozen=True)
class Target:
    """A platform that the library can be built for."""

    name: str
    """As in `paconv build-library --target`."""
    architecture: str
    """As platform.machine() has it."""
    triple: str
    """LLVM's name of it."""
    compilers: tuple[str, ...]
    """C compilers to look for; the first that is found is used."""
    suffix: str = ".so"
    """Of a shared library."""
    # onnxruntime unloads a library with its last session; its threads and installed kernels may outlive that
    link: tuple[str, ...] = ("-Wl,-z,nodelete", "-Wl,-z,now", "-Wl,--no-undefined", "-lpthread")
    """Options for the linker."""

    @property
    def is_host(self) -> bool:
        """Whether this Python runs on it."""
        return self.name == host_name()

    def compiler(self) -> str | None:
        """The compiler's command: CC for the host if it is set, else the first one on the path. None: there is none."""
        if self.is_host and os.environ.get("CC"):
            names: tuple[str, ...] = (os.environ["CC"],)
        else:
            names = (*(("cc", "gcc", "clang") if self.is_host else ()), *self.compilers)
        return next((n for n in names if shutil.which(n.split()[0])), None)


_MACOS = ("-Wl,-undefined,error",)
TARGETS = {
    t.name: t
    for t in (
        Target("x86_64-linux", "x86_64", "x86_64-unknown-linux-gnu", ("x86_64-linux-gnu-gcc",)),
        Target("aarch64-linux", "aarch64", "aarch64-unknown-linux-gnu", ("aarch64-linux-gnu-gcc",)),
        Target("x86_64-macos", "x86_64", "x86_64-apple-macosx11.0.0", (), ".dylib", _MACOS),
        Target("aarch64-macos", "aarch64", "arm64-apple-macosx11.0.0", (), ".dylib", _MACOS),
        Target(
            "x86_64-windows",
            "x86_64",
            "x86_64-w64-windows-gnu",
            ("x86_64-w64-mingw32-gcc",),
            ".dll",
            ("-static-libgcc",),
        ),
    )
}


def host_name() -> str:
    """Name of the target this Python runs on."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    system = {"linux": "linux", "darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    return f"{machine}-{system}"


def host_target() -> Target:
    """The target this Python runs on. Raises UsageError if none is supported."""
    return find_target(host_name())


def find_target(name: str) -> Target:
    """The target of this name. Raises UsageError listing the known ones."""
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}: expected one of {', '.join(TARGETS)}")
    return TARGETS[name]

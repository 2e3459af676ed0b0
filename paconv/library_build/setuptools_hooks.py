"""setuptools commands: `pip install .` builds the custom-op library, and a wheel says for which platform it is.

The library depends on the platform but not on the Python that loads it: the wheel's tag is py3-none-PLATFORM.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

__all__ = ["BdistWheel", "BuildPy"]

ROOT = Path(__file__).resolve().parents[2]


class BuildPy(build_py):
    """Copies the sources, then builds the library among them: in place, for this CPU alone, for an editable install."""

    def run(self) -> None:
        super().run()
        sys.path.insert(0, str(ROOT))  # the sources being built, whatever else is installed
        from paconv.library_build.build import build_library, chosen_cpus, is_current
        from paconv.library_build.targets import BUILT, host_target

        self.library = BUILT if self.editable_mode else Path(self.build_lib) / "paconv" / "runtime" / BUILT.name
        cpus = chosen_cpus(host_target(), ["host"] if self.editable_mode else [])
        if is_current(self.library, cpus):
            return
        start = time.monotonic()
        print(f"compiling the kernels for {', '.join(cpu.name for cpu in cpus)}", flush=True)  # pip -v shows it

        def done(name: str) -> None:
            print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)

        build_library(host_target(), self.library, done, cpus)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), str(self.library)]


class BdistWheel(bdist_wheel):
    """A wheel for one platform and any Python 3."""

    def finalize_options(self) -> None:
        self.distribution.has_ext_modules = lambda: True  # binary: into platlib, for one platform
        super().finalize_options()

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]

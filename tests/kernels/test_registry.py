"""Every kernel that is listed is in the library, and on the page that draws the families."""

import re
import subprocess
from pathlib import Path

import pytest

from paconv.kernels.cpus import CPUS, find_cpu
from paconv.kernels.registry import KERNELS, microkernel_home, microkernels, task_home
from paconv.runtime.library import library_path
from tests.kernels.linked import built_cpus, kernel

FOLDER = Path(__file__).parents[2] / "kernels"


def test_the_library_holds_every_kernel_at_every_level_of_its_architecture():
    built = built_cpus()
    architecture = find_cpu(built[0]).architecture
    assert built == [cpu.name for cpu in CPUS if cpu.architecture == architecture][::-1]
    for cpu in built:
        for name in KERNELS:
            kernel(cpu, name)
        for each in microkernels(find_cpu(cpu)):
            kernel(cpu, each.name, *each.variant)


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.name)
def test_what_serves_several_cpus_is_there_once(cpu):
    base = find_cpu(cpu.base) if cpu.base else cpu
    for name, each in KERNELS.items():
        assert task_home(cpu, name) == (None if each.once else base)
    for each in microkernels(cpu):
        assert microkernel_home(cpu, each) == (base if each in microkernels(base) else cpu)
        assert each in microkernels(microkernel_home(cpu, each))


def test_the_library_needs_nothing_but_an_old_c_library():
    symbols = subprocess.run(["nm", "-D", library_path()], capture_output=True, text=True, check=True).stdout
    defined = {line.split()[-1] for line in symbols.splitlines() if " T " in line}
    assert {"RegisterCustomOps", "paconv_kernel"} <= defined
    assert not [s for s in defined if s.startswith(("paconv_x86_64", "paconv_armv8"))]  # no other library can take over
    undefined = [line.split()[-1] for line in symbols.splitlines() if " U " in line]
    assert not [s for s in undefined if s.startswith(("Py", "_Py", "NRT", "numba"))]
    versions = {tuple(map(int, s.split("@GLIBC_")[1].split("."))) for s in undefined if "@GLIBC_" in s}
    assert versions and max(versions) <= (2, 28)  # manylinux_2_28


def test_the_readme_has_every_file():
    words = set(re.findall(r"\w+", (FOLDER / "README.md").read_text(encoding="utf-8")))
    stems = {path.stem for pattern in ("*.py", "*.c") for path in FOLDER.rglob(pattern)} - {"__init__"}
    assert len(stems) > 40 and sorted(stems - words) == []

"""No kernel reads or writes outside its buffers: each buffer lies against a page that may not be touched."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paconv.runtime.library import runnable_cpus
from tests.kernels.bounds_worker import CHANNELS, SIZES, Fenced, awkward_cases

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")


def run(*command: str):
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("cpu", runnable_cpus())
def test_every_kernel_stays_within_its_buffers(cpu, side):
    done = run("-m", "tests.kernels.bounds_worker", cpu, side)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(awkward_cases()) + 3 * len(CHANNELS) * len(SIZES)


@pytest.mark.parametrize("after, offset", [(True, 5), (False, -1)])
def test_a_step_outside_ends_the_process(after, offset):
    code = f"""
import ctypes, numpy as np
from tests.kernels.bounds_worker import Fenced
buffer = Fenced(np.zeros(5, np.uint8), {after}, 1)
ctypes.c_uint8.from_address(buffer.address + {offset}).value
"""
    assert run("-c", code).returncode < 0
    assert run("-c", code.replace(f"+ {offset})", "+ 4)")).returncode == 0


def test_a_fenced_array_is_a_copy():
    assert (Fenced(np.arange(7, dtype=np.int32), True, 4).array.view(np.int32) == np.arange(7)).all()

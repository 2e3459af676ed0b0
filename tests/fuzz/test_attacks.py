"""A short run of each attack (`make fuzz` is the long one), and that a fault would be seen."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz import shims
from tests.fuzz.watched import Outcome, watch

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the attacks watch forked processes of Linux")
HAS_GCC = shutil.which("gcc") is not None and shutil.which("cc") is not None


def attack(kind: str, count: int, *more: str) -> dict[str, int]:
    """The counts of a run without findings."""
    command = [sys.executable, "-m", "tests.fuzz", kind, "--count", str(count), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {
        name: int(n.replace(",", "")) for name, n in re.findall(r"([a-zA-Z][\w .'-]*) ([\d,]+)(?=[,;])", done.stdout)
    }
    assert f"{count:,} cases" in done.stdout and "; 0 findings" in done.stdout
    return counts


def test_mutated_files_are_refused_or_give_what_their_bodies_give():
    counts = attack("files", 300)
    assert (
        min(
            counts[name]
            for name in ("refused by the library", "ran", "compared bit for bit", "compared within rounding")
        )
        > 9
    )


@pytest.mark.skipif(not HAS_GCC, reason="no C compiler: the fence isn't built")
def test_no_kernel_steps_outside_its_memory_on_mutated_files():
    assert attack("files", 300, "--seed", "1", "--memory", "fenced")["ran"] > 30


@pytest.mark.slow
@pytest.mark.skipif(not HAS_GCC, reason="no gcc: there is no AddressSanitizer")
def test_the_shim_under_address_sanitizer_takes_mutated_files():
    assert attack("files", 500, "--seed", "2", "--memory", "sanitized")["ran"] > 50


@pytest.mark.slow
def test_random_networks_keep_their_outputs():
    counts = attack("networks", 12)
    assert counts["compared with model.onnx"] > 50 and counts["compared between CPUs"] > 50 and counts["verified"] > 5


@pytest.mark.slow
def test_commands_that_are_stopped_leave_old_or_whole_outputs():
    for first in (1, 5, 9):  # optimize and quantize, each in three ways
        attack("stops", 2, "--seed", "1", "--first", str(first))


@pytest.mark.slow
@pytest.mark.parametrize("command, first", [("export", 8), pytest.param("train", 11, marks=pytest.mark.whole)])
def test_torchs_commands_that_are_stopped_leave_old_or_whole_outputs_and_go_on(command, first):
    assert any(name.startswith(command) for name in attack("stops", 1, "--seed", "1", "--first", str(first)))


def test_a_crash_a_hang_and_an_exception_are_findings_and_the_other_cases_go_on():
    def work(index: int) -> Outcome:
        found = Outcome()
        found.counts["done"] += 1
        if index == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        if index == 4:
            time.sleep(60)
        if index == 6:
            raise KeyError("x")
        if index == 8:
            found.findings.append("wrong")
        return found

    said: list[str] = []
    tally = watch(work, range(1, 10), seconds=1.0, say=said.append)
    assert tally.findings == said
    assert [line.split(" (")[0] for line in said] == [
        "case 2: CRASH by signal 11", "case 4: HANG, more than 1 s", "case 6: RAISED KeyError: 'x'", "case 8: wrong",
    ]  # fmt: skip
    assert tally.cases == 9 and tally.counts == {"done": 6}


@pytest.fixture(scope="module")
def fence(tmp_path_factory) -> dict[str, str]:
    if not HAS_GCC:
        pytest.skip("no C compiler: the fence isn't built")
    return shims.fenced(tmp_path_factory.mktemp("fence"))


@pytest.mark.parametrize(
    "touch, ends_by",
    [
        ("write(99)", 0),
        ("write(100)", signal.SIGABRT),  # aligns the end: seen when it is freed
        ("write(128)", signal.SIGSEGV),
        ("read(128)", signal.SIGSEGV),
        ("free(), read(0)", signal.SIGSEGV),
    ],
)
def test_a_step_past_a_fenced_block_ends_the_process(fence, touch, ends_by):
    code = f"""
import ctypes
c, block = ctypes.CDLL(None), ctypes.c_void_p()
assert not c.posix_memalign(ctypes.byref(block), ctypes.c_size_t(64), ctypes.c_size_t(100))
free = lambda: c.free(block)
read = lambda at: ctypes.c_uint8.from_address(block.value + at).value
write = lambda at: ctypes.memset(block.value + at, 1, 1)
{touch.replace(", ", "; ")}
if "free" not in {touch!r}: free()
"""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | fence, capture_output=True, check=False)
    assert done.returncode == -ends_by, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not HAS_GCC, reason="no gcc: there is no AddressSanitizer")
def test_the_sanitized_shim_is_sanitized(tmp_path):
    variables = shims.sanitized(tmp_path)
    assert b"__asan_report_load" in Path(variables[shims.SHIM]).read_bytes()
    libraries = [Path(name) for name in variables["LD_PRELOAD"].split(":")]
    assert [path.name for path in libraries] == ["libasan.so", "libubsan.so"] and all(
        path.exists() for path in libraries
    )

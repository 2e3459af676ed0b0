"""One process at a time in a folder, whatever becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from paconv.errors import PaconvError, UsageError
from paconv.folder_lock import LOCK, locked

HOLDER = """
import os, sys
from pathlib import Path
from paconv.folder_lock import locked
with locked(Path(sys.argv[1]), "training"):
    child = os.fork()  # as data loaders do
    if not child:
        sys.stdin.read()
        os._exit(0)
    print(child, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path, and a child of it."""
    running = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None and running.stdin is not None
    running.child = int(running.stdout.readline())
    yield running
    running.kill()
    running.stdin.close()
    running.wait()


def test_a_folder_in_which_another_process_works_is_refused_until_that_is_killed(tmp_path, holder):
    for _ in range(2):
        with pytest.raises(UsageError, match="another training is at work there; wait for it, stop it, or"):
            with locked(tmp_path, "training"):
                pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    os.kill(holder.child, 0)  # what it forked is still there
    with locked(tmp_path, "training"):
        assert (tmp_path / LOCK).exists()
    assert not list(tmp_path.iterdir())


def test_the_same_process_is_refused_too_by_any_name_of_the_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with locked(tmp_path / "run", "training"):
        with pytest.raises(UsageError, match="another training"), locked(tmp_path / "link", "training"):
            pass
        with locked(tmp_path, "comparison"):
            pass
    with locked(tmp_path / "link", "training"):
        pass


def test_an_error_releases_the_folder(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path, "training"):
            raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_gets_a_line(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(PaconvError, match="cannot write to .*: Is a directory"), locked(tmp_path, "training"):
        pass

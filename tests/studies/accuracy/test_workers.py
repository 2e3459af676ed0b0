"""Processes that train: what they return, and how they end."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from paconv.errors import TrainingError, UsageError
from paconv.files import replacing
from paconv.studies.accuracy.workers import workers


def doubled(value: int) -> int:
    return 2 * value


def refuse() -> None:
    raise UsageError("not this one")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slow_write(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        (path.parent / "begun").touch()
        time.sleep(600)


def interrupt_when(path: Path) -> None:
    """Interrupt this process when the file is there."""
    while not path.exists():
        time.sleep(0.05)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # else a waiting main thread isn't woken


def threads() -> int:
    import torch

    return torch.get_num_threads()


def test_results_come_with_the_place_of_their_call():
    with workers(1, 1) as submit:
        assert dict(submit(doubled, [(3,), (4,)])) == {0: 6, 1: 8}
        assert list(submit(threads, [()])) == [(0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "error", "message"),
    [(refuse, UsageError, "not this one"), (killed, TrainingError, "a training's process was killed")],
)
def test_an_exception_or_a_death_is_raised_here(function, error, message):
    with pytest.raises(error, match=message), workers(1, 1) as submit:
        list(submit(function, [()]))


@pytest.mark.slow
def test_nothing_is_waited_for_when_the_waiting_process_is_stopped():
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), workers(1, 1) as submit:
        for place, _ in submit(time.sleep, [(0,), (600,)]):
            assert place == 0
            raise KeyboardInterrupt
    assert time.monotonic() - started < 300


@pytest.fixture
def interruptible():
    """A job in the background ignores INT, and so do the processes it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_a_process_that_is_stopped_removes_what_it_has_half_written_and_takes_no_other_call(tmp_path):
    with pytest.raises(KeyboardInterrupt), workers(1, 1) as submit:
        results = submit(slow_write, [(tmp_path / "a",), (tmp_path / "b",)])
        stopper = threading.Timer(0, interrupt_when, [tmp_path / "begun"])
        stopper.start()
        list(results)
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]

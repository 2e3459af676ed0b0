"""Processes that train: what they return, and how they end."""

from __future__ import annotations

import os
import signal
import time

import pytest

from paconv.errors import TrainingError, UsageError
from paconv.studies.accuracy.workers import workers


def doubled(value: int) -> int:
    return 2 * value


def refuse() -> None:
    raise UsageError("not this one")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


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

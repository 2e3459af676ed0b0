"""Several trainings at once, each in a process of its own with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from paconv.errors import TrainingError

__all__ = ["Submit", "workers"]

_SECONDS = 30.0
"""That a process which was told to end may take for what it has half written."""

Submit = Callable[..., Iterator[tuple]]
"""submit(function, argument tuples): yields (place, result) as they come, in any order."""


@contextmanager
def workers(jobs: int, threads: int) -> Iterator[Submit]:
    """Within it, what is submitted runs in `jobs` processes, torch with `threads` threads in each.

    An exception in one, or here, stops all of them; what they have written stays. Raises TrainingError where a process
    was killed.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # torch's threads don't survive a fork
    with ProcessPoolExecutor(jobs, context, initializer=_prepare, initargs=(threads,)) as pool:

        def submit(function: Callable, calls: Iterable[tuple]) -> Iterator[tuple]:
            futures = {pool.submit(_ended_by_stop, function, *call): place for place, call in enumerate(calls)}
            for future in as_completed(futures):
                yield futures[future], future.result()

        try:
            yield submit
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            ended = set(multiprocessing.active_children()) - others
            for process in ended:
                process.terminate()
            for process in ended:
                process.join(_SECONDS)
            if isinstance(error, BrokenProcessPool):
                raise TrainingError("a training's process was killed, for want of memory? Try fewer jobs") from error
            raise


def _ended_by_stop(function: Callable, *call):
    """function(*call). A stop ends the process once what was half written is removed: the pool would go on with the
    next call.
    """
    try:
        return function(*call)
    except SystemExit:
        os._exit(143)


def _prepare(threads: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for this one answers it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    torch.set_num_threads(threads)

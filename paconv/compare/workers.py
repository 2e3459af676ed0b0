"""Several trainings at once, each in a process of its own with its share of the cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager

__all__ = ["Submit", "workers"]

Submit = Callable[..., Iterator[tuple]]
"""submit(function, argument tuples): yields (place, result) as they come, in any order."""


@contextmanager
def workers(jobs: int, threads: int) -> Iterator[Submit]:
    """Within it, what is submitted runs in `jobs` processes, torch with `threads` threads in each.

    An exception in one is raised here; what hasn't begun by then is given up, what has is waited for.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads don't survive a fork
    with ProcessPoolExecutor(jobs, context, initializer=_prepare, initargs=(threads,)) as pool:

        def submit(function: Callable, calls: Iterable[tuple]) -> Iterator[tuple]:
            futures = {pool.submit(function, *call): place for place, call in enumerate(calls)}
            for future in as_completed(futures):
                yield futures[future], future.result()

        try:
            yield submit
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prepare(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)

"""A comparison without the processes: tests/compare/test_workers.py is about those, test_comparison.py uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from paconv.studies.accuracy.workers import Submit

__all__ = ["workers_in_process"]


@contextmanager
def workers_in_process(jobs: int, threads: int) -> Iterator[Submit]:
    """As paconv.studies.accuracy.workers.workers, one call after the other in this process."""

    def submit(function: Callable, calls: Iterable[tuple]) -> Iterator[tuple]:
        for place, call in enumerate(calls):
            yield place, function(*call)

    yield submit

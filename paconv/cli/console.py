"""Where tables and bars go: tables to stdout, never cut off in a pipe or a file; progress to stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

__all__ = ["output_console", "progress_bar", "progress_console"]

PIPE_WIDTH = 160


def output_console() -> Console:
    """Console for results. In a terminal it has its width, elsewhere PIPE_WIDTH columns."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def progress_console() -> Console:
    """Console for progress bars."""
    return Console(stderr=True)


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, or nothing at all if that is no terminal: yields update(description, done, total)."""
    console = progress_console()
    if not console.is_terminal:
        yield lambda description, done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda description, done, total: bar.update(task, description=description, completed=done, total=total)

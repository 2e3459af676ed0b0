"""Where tables and bars go: tables to stdout, never cut off in a pipe or a file; progress to stderr."""

from __future__ import annotations

from rich.console import Console

__all__ = ["output_console", "progress_console"]

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

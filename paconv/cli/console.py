"""Where tables and bars go: tables to stdout, never cut off in a pipe or a file; progress to stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from textwrap import fill

import click
from rich.console import Console
from rich.progress import Progress

from paconv.reporting.tables import Table, markdown, plain, to_csv

__all__ = [
    "TABLE_STYLES",
    "output_console",
    "print_explained",
    "print_paragraph",
    "print_table",
    "print_tables",
    "progress_bar",
    "progress_console",
]

PIPE_WIDTH = 160
"""Columns of a line where there is no terminal to fit."""

_PIPE_NOTES = 118
"""Columns of a table's notes there."""

TABLE_STYLES = ("table", "csv", "markdown")
"""How tables are printed; a command has "json" beside, of all that it knows."""


def output_console() -> Console:
    """Console for results. In a terminal it has its width, elsewhere PIPE_WIDTH columns."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def print_table(table: Table) -> None:
    """Print `table` as wide as it is, its notes broken into lines that fit; in a terminal so that all of it fits."""
    console = output_console()
    terminal = console.is_terminal
    click.echo(plain(table, console.width if terminal else _PIPE_NOTES, console.width if terminal else None), nl=False)


def print_tables(tables: Sequence[Table], style: str, quiet: bool = False) -> None:
    """Print `tables` with an empty line between, as one of TABLE_STYLES; quiet: of text, only their lines."""
    if quiet and style == "table":
        for line in filter(None, (table.line for table in tables)):
            _print_line(line)
        return
    for number, table in enumerate(tables):
        if number:
            click.echo()
        if style == "table":
            print_table(table)
        else:
            click.echo({"markdown": markdown, "csv": to_csv}[style](table), nl=False)


def print_explained(table: Table, style: str, quiet: bool, explain: bool) -> None:
    """Print a table that has definitions, with them or with a word on how to get them."""
    if quiet and style == "table":
        print_tables([table], style, quiet)
        if explain:
            print_table(Table("", (), (), notes=table.definitions))
        return
    hint = ("--explain says what the columns mean",) if table.definitions and style == "table" else ()
    print_tables([table.explained() if explain else replace(table, notes=(*table.notes, *hint))], style)


def _print_line(line: str) -> None:
    """In a terminal broken so that it fits, elsewhere one line."""
    console = output_console()
    click.echo(
        fill(line, console.width, subsequent_indent="  ", break_on_hyphens=False) if console.is_terminal else line
    )


def print_paragraph(text: str) -> None:
    """Print sentences below the line they belong to, indented and broken into lines that fit."""
    console = output_console()
    width = console.width if console.is_terminal else _PIPE_NOTES
    click.echo(fill(text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))


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

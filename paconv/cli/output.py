"""The options that every command has that prints: --format and -q; and --explain, where tables have definitions."""

from __future__ import annotations

from collections.abc import Callable

import click

__all__ = ["TABLES", "TEXT", "explain_option", "output_options"]

TABLES = ("table", "json", "csv", "markdown")
"""Formats of a command that prints tables."""

TEXT = ("text", "json")
"""Formats of a command that says what it has done."""


def output_options(styles: tuple[str, ...], json: str = "json has all of it.") -> Callable[[Callable], Callable]:
    """Add --format (`style`, one of `styles`, the first by default) and -q (`quiet`). json: what json is for."""

    def decorate(command: Callable) -> Callable:
        command = click.option("-q", "--quiet", is_flag=True, help="Print only the summary.")(command)
        return click.option(
            "--format", "style", type=click.Choice(styles), default=styles[0], show_default=True, help=json
        )(command)

    return decorate


explain_option = click.option(
    "--explain", is_flag=True, help="Say below the table what its columns mean and where the figures come from."
)

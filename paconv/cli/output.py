"""The options that every command has that prints: --format and -q; and --explain, where tables have definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from paconv.near import did_you_mean

__all__ = ["TABLES", "Choice", "TEXT", "explain_option", "output_options"]


class Choice(click.Choice):
    """A word among others; one that isn't among them is told which is near."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and value not in self.choices:
            names = [str(choice) for choice in self.choices]
            self.fail(f"{value!r} is not one of {', '.join(names)}{did_you_mean(value, names)}", param, ctx)
        return super().convert(value, param, ctx)


TABLES = ("table", "json", "csv", "markdown")
"""Formats of a command that prints tables."""

TEXT = ("text", "json")
"""Formats of a command that says what it has done."""


def output_options(styles: tuple[str, ...], json: str = "json has all of it.") -> Callable[[Callable], Callable]:
    """Add --format (`style`, one of `styles`, the first by default) and -q (`quiet`). json: what json is for."""

    def decorate(command: Callable) -> Callable:
        command = click.option("-q", "--quiet", is_flag=True, help="Print only the result, in a line.")(command)
        return click.option("--format", "style", type=Choice(styles), default=styles[0], show_default=True, help=json)(
            command
        )

    return decorate


explain_option = click.option(
    "--explain", is_flag=True, help="Say below the table what its columns mean and where the figures come from."
)

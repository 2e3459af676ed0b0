"""`paconv doctor`: what is installed here, and what is missing for which command."""

from __future__ import annotations

import click

from paconv.cli.console import print_tables
from paconv.cli.diagnosis import CORE, Diagnosis, diagnose
from paconv.cli.output import TABLES, output_options
from paconv.errors import PaconvError
from paconv.reporting.tables import Column, Table, to_json

__all__ = ["doctor"]


@click.command()
@output_options(TABLES)
def doctor(style: str, quiet: bool) -> None:
    """Say what is installed here, which kernels this machine runs, and what is missing for which command.

    Nothing is measured, built or changed. Exits with 1 only if no command can run.

    \b
    Example:
      paconv doctor
      paconv doctor --format json
    """
    found = diagnose()
    if style == "json":
        click.echo(to_json(found.as_data()), nl=False)
    elif quiet and style == "table":
        click.echo(_line(found))
    else:
        print_tables([_facts(found), _commands(found)], style)
    if not found.runs:
        absent = ", ".join(name for name in CORE.values() if found.packages[name] is None)
        raise PaconvError(f"no command can run: {absent} isn't installed; pip install paconv installs what it needs")


def _facts(found: Diagnosis) -> Table:
    packages = [
        {"what": name, "found": version or "not installed"} for name, version in found.packages.items()
    ]  # fmt: skip
    facts = [{"what": what, "found": text} for what, text in found.facts.items()]
    columns = [Column("what", "what", left=True), Column("found", "found", left=True, folds=True)]
    return Table("what is here", columns, [*facts, *packages])


def _commands(found: Diagnosis) -> Table:
    rows = []
    for command in found.commands:
        for number, way in enumerate(command.missing or ("",)):
            ready = None if number else "yes" if command.ready else "no"
            rows.append({"command": None if number else command.command, "ready": ready, "missing": way})
    columns = [
        Column("command", "command", left=True),
        Column("ready", "ready", left=True),
        Column("missing", "what is missing", left=True, folds=True),
    ]
    return Table("what can run", columns, rows, notes=[_line(found)])


def _line(found: Diagnosis) -> str:
    ready = sum(command.ready for command in found.commands)
    blocked = [command.command for command in found.commands if not command.ready]
    return f"{ready} of {len(found.commands)} commands can run" + (f"; not {', '.join(blocked)}" if blocked else "")

"""The `paconv` command: finds the subcommands and turns errors into one clear line and an exit code."""

from __future__ import annotations

import signal
import sys
import warnings
from pathlib import Path
from typing import TextIO

import click
from click.shell_completion import CompletionItem

from paconv import variables
from paconv._version import __version__
from paconv.cli.commands import COMMANDS, GROUPS, load
from paconv.cli.wording import as_typed
from paconv.errors import PaconvError, UsageError
from paconv.extras import missing_package
from paconv.near import did_you_mean

__all__ = ["cli", "main"]

HELP_WIDTH = 120
"""Columns that a help has at most; in a narrower terminal it has that many."""


class LazyGroup(click.Group):
    """A click group that imports a subcommand's module only when the subcommand is used: none needs another's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return load(name) if name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"there is no command {name!r}{did_you_mean(name, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for purpose, commands in GROUPS.items():
            with formatter.section(purpose):
                formatter.write_dl([(name.ljust(width), entry.help) for name, entry in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH},
    subcommand_metavar="COMMAND ...",
)
@click.version_option(__version__, prog_name="paconv")
def cli() -> None:
    """Piecewise-approximated CNNs from PyTorch to onnxruntime.

    \b
    Example:
      paconv export model.pt -o model.onnx
      paconv optimize model.onnx -o pa.onnx
      paconv verify model.onnx pa.onnx
      paconv summary pa.onnx

    `paconv COMMAND --help` tells what a command takes; `paconv doctor` what is missing here.
    """


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 a defect of paconv, 130 and 143
    stopped by INT and TERM.
    """
    arguments = sys.argv[1:] or ["--help"]
    warnings.showwarning = _show_warning
    try:
        sys.exit(_run(arguments))
    except _Stopped as stop:
        _fail("stopped", stop.code)
    except click.exceptions.Abort:
        _fail("stopped", 130)
    except click.NoSuchOption as error:
        name = _command(arguments)
        if error.ctx is not None and error.ctx.command is cli and _has(name, error.option_name):
            _fail(
                f"{error.option_name} goes behind the command: paconv {name} {error.option_name} ...", error.exit_code
            )
        near = f"; did you mean {error.possibilities[0]!r}?" if error.possibilities else ""
        _fail(f"there is no option {error.option_name!r}{near}{_hint(arguments)}", error.exit_code)
    except click.UsageError as error:
        _fail(error.format_message() + _hint(arguments), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except UsageError as error:
        name = _command(arguments)
        _fail((as_typed(str(error), load(name)) if name else str(error)) + _hint(arguments), 1)
    except PaconvError as error:
        _fail(str(error), 1)
    except MemoryError as error:  # numpy says of what
        _fail(f"not enough memory: {error}" if str(error) else "not enough memory", 1)
    except OSError as error:
        _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (missing := missing_package(error)) is not None:
            _fail(str(missing), 1)
        if variables.traceback():
            raise
        if isinstance(error, RuntimeError) and "allocate memory" in str(error):  # torch's
            _fail("there is not enough memory for that", 1)
        _fail(f"unexpected {type(error).__name__}: {error} (PACONV_TRACEBACK=1 shows where)", 3)


_shown_by_python = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """paconv's own warnings as one line, like its errors."""
    if filename == "paconv" or Path(filename).is_relative_to(Path(__file__).parents[1]):
        click.echo(f"paconv: warning: {message}", err=True)
    else:
        _shown_by_python(message, category, filename, lineno, file, line)


def _command(arguments: list[str]) -> str:
    """The command that these arguments call, "" for none."""
    return next((word for word in arguments if word in COMMANDS), "")


def _has(command: str, option: str) -> bool:
    """Whether a command has that option."""
    return command != "" and any(option in parameter.opts for parameter in load(command).params)


def _hint(arguments: list[str]) -> str:
    """Where the usage is told of what these arguments call."""
    name = _command(arguments)
    return f" (usage: `paconv {name} --help`)" if name else " (usage: `paconv --help`)"


class _Stopped(Exception):
    """By a signal. code: what to exit with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _run(arguments: list[str]) -> int | None:
    """The command. What is half written is removed on the way out of a stop, which stays one whatever it met there:
    torch's exporter makes an error of its own of it.
    """
    codes: list[int] = []

    def stop(number: int, _frame: object) -> None:
        codes.append(128 + number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it
        signal.signal(signal.SIGINT, stop)
    try:
        return cli.main(arguments, prog_name="paconv", standalone_mode=False)
    except BaseException as error:
        if codes:
            raise _Stopped(codes[0]) from error
        raise


def _fail(message: str, code: int) -> None:
    click.echo("paconv: error: " + " ".join(message.split()), err=True)
    sys.exit(code)

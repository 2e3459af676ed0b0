"""The `paconv` command: finds the subcommands and turns errors into one clear line and an exit code."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

import click

from paconv import variables
from paconv._version import __version__
from paconv.errors import PaconvError
from paconv.extras import missing_package

__all__ = ["cli", "main"]

COMMANDS = {
    "bench": "paconv.cli.bench:bench",
    "bench-report": "paconv.cli.bench_report:bench_report",
    "build-library": "paconv.cli.build_library:build_library",
    "check-models": "paconv.cli.check_models:check_models",
    "compare": "paconv.cli.compare:compare",
    "cost": "paconv.cli.cost:cost",
    "deploy": "paconv.cli.deploy:deploy",
    "export": "paconv.cli.export:export",
    "inspect": "paconv.cli.inspect:inspect",
    "optimize": "paconv.cli.optimize:optimize",
    "paper-tables": "paconv.cli.paper_tables:paper_tables",
    "quantize": "paconv.cli.quantize:quantize",
    "train": "paconv.cli.train:train",
    "verify": "paconv.cli.verify:verify",
}
"""Loaded when asked for: `paconv cost` need not wait for torch."""


class LazyGroup(click.Group):
    """A click group that imports a subcommand's module only when the subcommand is used or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name].split(":")
        return getattr(import_module(module), attribute)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="paconv")
def cli() -> None:
    """Piecewise-approximated CNNs from PyTorch to onnxruntime.

    \b
    Example:
      paconv export model.pt -o model.onnx
      paconv optimize model.onnx -o pa.onnx
      paconv verify model.onnx pa.onnx
      paconv cost pa.onnx
    """


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 a defect of paconv, 130 and 143
    stopped by INT and TERM.
    """
    try:
        sys.exit(_run())
    except _Stopped as stop:
        _fail("stopped", stop.code)
    except click.exceptions.Abort:
        _fail("stopped", 130)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
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


class _Stopped(Exception):
    """By a signal. code: what to exit with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _run() -> int | None:
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
        return cli.main(sys.argv[1:] or ["--help"], standalone_mode=False)
    except BaseException as error:
        if codes:
            raise _Stopped(codes[0]) from error
        raise


def _fail(message: str, code: int) -> None:
    click.echo("paconv: error: " + " ".join(message.split()), err=True)
    sys.exit(code)

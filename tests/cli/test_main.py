"""The command line as a whole: what is near a slip, hints after errors, completion, and what isn't imported."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from paconv.cli.commands import COMMANDS, load
from paconv.cli.main import cli


def test_the_help_imports_no_command_and_completion_none_either(run):
    code = (
        "import sys\nfrom paconv.cli.main import cli, main\n"
        "cli.shell_complete(None, 'co')\nsys.argv = ['paconv', '--help']\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'numpy', 'onnx', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_commands_are_completed_with_what_they_are_for():
    found = {item.value: item.help for item in cli.shell_complete(click.Context(cli), "co")}
    assert found == {name: COMMANDS[name].help for name in ("compare", "cost")}


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["quantise"], "there is no command 'quantise'; did you mean 'quantize'? (usage: `paconv --help`)"),
        (["zzz"], "there is no command 'zzz' (usage: `paconv --help`)"),
        (["verify", "a.onnx"], "Missing argument 'OPTIMIZED'. (usage: `paconv verify --help`)"),
        (["cost", "a.onnx", "--explian"], "there is no option '--explian'; did you mean '--explain'? "
         "(usage: `paconv cost --help`)"),
    ],
)  # fmt: skip
def test_a_slip_is_one_line_with_what_is_near_and_where_the_usage_is(run, arguments, end):
    assert run(*arguments) == (2, "", f"paconv: error: {end}\n")


def test_every_command_prints_json_and_can_be_quiet():
    for name in COMMANDS:
        options = {option: p for p in load(name).params for option in p.opts}
        assert "json" in options["--format"].type.choices, name
        assert "-q" in options, name

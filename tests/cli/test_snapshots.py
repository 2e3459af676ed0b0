"""What the command line prints, to the letter: in terminals of 80 and 120 columns, in pipes, with and without color.

A snapshot is a file of tests/cli/snapshots. `python -m tests.cli.test_snapshots` writes them all anew; look at what
`git diff` says then.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest

from paconv.cli.commands import COMMANDS
from paconv.cli.main import main
from tests.cli.test_cost import write
from tests.network.resnet_graphs import resnet_graph

FOLDER = Path(__file__).parent / "snapshots"
MODEL, LONG_NAMES = "pa.onnx", "long.onnx"

NO_COLOR = {"FORCE_COLOR": "1", "NO_COLOR": "1"}
"""A terminal, as rich sees it, whose user wants no color."""

CASES: dict[str, tuple[str, dict[str, str]]] = {
    "help-80": ("--help", {"COLUMNS": "80"}),
    "help-120": ("--help", {"COLUMNS": "120"}),
    "help-of-summary-80": ("summary --help", {"COLUMNS": "80"}),
    "help-of-doctor-120": ("doctor --help", {"COLUMNS": "120"}),
    "unknown-command": ("summry pa.onnx", {}),
    "unknown-option": ("summary pa.onnx --explian", {}),
    "wrong-scheme": ("cost pa.onnx --scheme pa4,5", {}),
    "planes-twice": ("cost pa.onnx --scheme pa:4,5 -M 4", {}),
    "summary-80": ("summary pa.onnx", {"COLUMNS": "80", **NO_COLOR}),
    "summary-pipe": ("summary pa.onnx", {}),
    "summary-explain-80": ("summary pa.onnx --explain -q", {"COLUMNS": "80", **NO_COLOR}),
    "summary-of-long-names-80": ("summary long.onnx", {"COLUMNS": "80", **NO_COLOR}),
    "summary-csv": ("summary pa.onnx --format csv", {}),
    "summary-markdown": ("summary pa.onnx --format markdown", {}),
    "cost-80": ("cost pa.onnx", {"COLUMNS": "80", **NO_COLOR}),
    "cost-120": ("cost pa.onnx", {"COLUMNS": "120", **NO_COLOR}),
    "cost-pipe-explain": ("cost pa.onnx --explain", {}),
    "cost-quiet": ("cost pa.onnx -q", {}),
}
"""Name of the snapshot -> arguments, and what is set in the environment."""


def write_models(folder: Path) -> None:
    """The models of CASES."""
    graph = resnet_graph(18, "optimized")
    write(graph, folder / MODEL)
    for node in graph.graph.node:
        if node.name:
            node.name = f"backbone/stages.0.blocks.1/{node.name}"
    (folder / LONG_NAMES).write_bytes(graph.SerializeToString())


def printed(arguments: str, environment: dict[str, str]) -> str:
    """Standard output and standard error of `paconv` in this folder, and how it ended where that isn't 0."""
    out = io.StringIO()
    set_apart = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE")
    around = {name: value for name, value in os.environ.items() if name not in set_apart}
    with (
        mock.patch.dict(os.environ, {**around, **environment}, clear=True),
        mock.patch.object(sys, "argv", ["paconv", *arguments.split()]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    return out.getvalue() + (f"exit code {stop.value.code}\n" if stop.value.code else "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("snapshots")
    write_models(made)
    return made


@pytest.mark.parametrize("name", CASES)
def test_what_is_printed_is_the_snapshot(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert printed(*CASES[name]) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_every_snapshot_is_of_a_case():
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_no_snapshot_is_wider_than_it_says_or_colored_where_nobody_sees_it(name):
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert "\x1b" not in text
    for width in (80, 120):
        if name.endswith(f"-{width}"):
            assert max(map(len, text.splitlines())) <= width


def test_the_help_names_every_command_and_cuts_no_line_off():
    text = (FOLDER / "help-80.txt").read_text(encoding="utf-8")
    assert "..." not in text.replace("COMMAND ...", "")
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ") and line.split()}
    assert all(lines[name].endswith(entry.help) for name, entry in COMMANDS.items())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    with TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        write_models(Path(temporary))
        for name, case in CASES.items():
            (FOLDER / f"{name}.txt").write_text(printed(*case), encoding="utf-8")

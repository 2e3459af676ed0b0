"""Running the command line inside the test's process."""

import sys

import pytest

from paconv.cli.main import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `paconv` with these arguments: (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["paconv", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call

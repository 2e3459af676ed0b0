"""One look for all tables: closer columns and broken notes where the terminal is narrow, nothing ever cut off."""

from __future__ import annotations

import pytest

from paconv.cli.console import print_table, print_tables
from paconv.reporting.tables import Column, Table

NAMES = tuple(f"column{number}" for number in range(8))
TABLE = Table(
    "a title", [Column(name, name) for name in NAMES], [dict.fromkeys(NAMES, "value")], notes=["word " * 40]
)


@pytest.fixture
def printed(monkeypatch, capsys):
    """The lines that printing `table` writes to a terminal of so many columns, None for a pipe."""

    def lines(columns: int | None, table: Table = TABLE) -> list[str]:
        if columns is not None:
            monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
            monkeypatch.setenv("COLUMNS", str(columns))
        print_table(table)
        return capsys.readouterr().out.splitlines()

    return lines


def test_in_a_wide_terminal_columns_have_room_and_in_a_narrow_one_they_stand_closer(printed):
    wide, narrow = printed(80), printed(70)
    assert "column0   column1" in wide[2] and "column0 column1" in narrow[2]
    assert max(map(len, wide)) <= 80 and max(map(len, narrow)) <= 70
    assert [line.split() for line in narrow[2:5:2]] == [[*NAMES], ["value"] * 8]


def test_what_does_not_fit_even_so_is_printed_whole(printed):
    assert all(name in printed(40)[2] for name in NAMES)


def test_notes_are_broken_into_lines_that_fit(printed):
    assert sum(line.count("word") for line in printed(60)) == 40
    assert max(len(line) for line in printed(60) if "word" in line) <= 60


def test_in_a_pipe_nothing_depends_on_the_terminal(printed, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    found = printed(None)
    assert "column0   column1" in found[2] and 100 < max(map(len, found)) <= 118


def test_several_tables_have_an_empty_line_between_in_each_style(capsys):
    for style, start in (("table", "a title"), ("markdown", "### a title")):
        print_tables([TABLE, TABLE], style)
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if "title" in line] == [start, start]
        assert lines[lines.index(start, 1) - 1] == ""

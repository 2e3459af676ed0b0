"""One look for all tables: closer columns, parts and broken notes in a narrow terminal, nothing ever cut off."""

from __future__ import annotations

import pytest

from paconv.cli.console import print_table, print_tables
from paconv.reporting.tables import Column, Table

NAMES = tuple(f"column{number}" for number in range(8))
TABLE = Table("a title", [Column(name, name) for name in NAMES], [dict.fromkeys(NAMES, "value")], notes=["word " * 40])


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


def test_what_does_not_fit_even_so_comes_in_parts_with_the_first_column_again(printed):
    lines = printed(40)
    heads = [line.split() for line in lines if "column0" in line]
    assert len(heads) > 1 and [name for head in heads for name in head[1:]] == list(NAMES[1:])
    assert sum(line.count("value") for line in lines) == 8 + len(heads) - 1
    assert max(map(len, lines)) <= 40


def test_a_column_that_fits_nowhere_is_printed_whole(printed):
    assert all(any(name in line for line in printed(9)) for name in NAMES)


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

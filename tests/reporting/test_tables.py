"""Printing: what a person reads and what a program reads."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from fractions import Fraction

from paconv.reporting.tables import Column, Table, exact, grouped, markdown, plain, ratio, significant, to_csv, to_json

TABLE = Table(
    "Things",
    (Column("name", "thing", left=True), Column("size", "size", read=grouped), Column("gain", "gain", read=ratio)),
    [
        {"name": "a|b", "size": 1234567, "gain": Fraction(5, 2)},
        {"name": "none", "size": Fraction(1, 2)},
        {"name": "total", "size": 1},
    ],
    totals=1,
    notes=("a note",),
)


def test_plain_text_is_never_cut_however_wide():
    columns = tuple(Column(f"c{i}", f"column {i}") for i in range(40))
    wide = Table("T", columns, [{column.key: "x" * 20 for column in columns}])
    assert plain(wide).count("x" * 20) == 40


def test_plain_text_has_title_cells_and_notes():
    lines = plain(TABLE).splitlines()
    assert lines[0] == "Things" and lines[-1] == "a note"
    assert "1,234,567" in plain(TABLE) and "2.50x" in plain(TABLE) and "0.50" in plain(TABLE)


def test_notes_are_broken_into_lines_of_a_width_without_losing_a_word():
    note = "one two-three " * 20
    lines = plain(replace(TABLE, notes=(note,)), 40).splitlines()[8:]
    assert len(lines) > 5 and max(map(len, lines)) <= 40
    assert " ".join(lines).split() == note.split()


def test_markdown_is_a_pipe_table():
    lines = markdown(TABLE).splitlines()
    assert lines[0] == "### Things"
    assert lines[2] == "| thing | size | gain |"
    assert lines[3] == "| --- | ---: | ---: |"
    assert lines[4] == r"| a\|b | 1,234,567 | 2.50x |"
    assert lines[-1] == "- a note"


def test_csv_has_exact_values_and_empty_cells():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows[0] == {"name": "a|b", "size": "1234567", "gain": "2.5"}
    assert rows[1] == {"name": "none", "size": "0.5", "gain": ""}


def test_json_has_whole_numbers_as_integers():
    assert json.loads(to_json({"a": Fraction(4, 2), "b": Fraction(1, 2)})) == {"a": 2, "b": 0.5}
    assert isinstance(exact(Fraction(4, 2)), int)


def test_numbers_are_grouped():
    assert grouped(Fraction(2_000_000, 2)) == "1,000,000"
    assert grouped(Fraction(1001, 2)) == "500.50"


def test_significant_figures_are_four_without_an_exponent():
    found = [significant(value, 1000) for value in (0, 36864, 147_456, 2_359_296, 44_630_016, Fraction(1, 2), 512_000)]
    assert found == ["0", "36.86", "147.5", "2359", "44630", "0.0005", "512.0"]


def test_a_title_of_two_lines_is_one_line_in_markdown():
    table = Table("T", (Column("a", "long title\n[unit]"), Column("b", "b")), [{"a": 1, "b": 2}], narrow=True)
    assert [line.split() for line in plain(table).splitlines()[2:4]] == [["long", "title"], ["[unit]", "b"]]
    assert "| long title [unit] | b |" in markdown(table)

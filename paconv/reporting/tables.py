"""Tables of figures and the ways to print them: for a terminal, markdown, CSV, JSON.

A cell holds the exact value; its column says how a person reads it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from textwrap import fill
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

__all__ = ["Column", "Table", "exact", "grouped", "markdown", "plain", "ratio", "significant", "to_csv",
           "to_json"]  # fmt: skip


def grouped(value: Any) -> str:
    """12345678 -> 12,345,678; two decimals where the value isn't whole."""
    if isinstance(value, Fraction) and value.denominator == 1:
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.2f}"


def significant(value: Any, unit: float = 1) -> str:
    """Four digits of value / unit without an exponent: 36864 in thousands -> 36.86; at most four decimals."""
    scaled = float(value) / unit
    whole = len(str(int(abs(scaled)))) if abs(scaled) >= 1 else 0
    return f"{scaled:.{max(0, 4 - whole)}f}" if scaled else "0"


def ratio(value: Any) -> str:
    """6.0671 -> 6.07x."""
    return f"{float(value):.2f}x"


def exact(value: Any) -> Any:
    """A value as JSON and CSV hold it: a whole number as int, any other number as float."""
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    return value


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    key: str
    """Name in the rows, and in CSV unless `csv_key` is set."""
    title: str
    """Heading."""
    provenance: str = ""
    """Where its figures come from."""
    read: Callable[[Any], str] = str
    """Value -> text."""
    left: bool = False
    """Aligned left."""
    csv_key: str = ""
    """Name in CSV, if it says more (unit, provenance)."""
    detail: bool = False
    """Left out of text where the table is wider than the terminal."""
    folds: bool = False
    """Names and sentences: broken into lines where nothing else makes the table fit the terminal."""


@dataclass(frozen=True)
class Table:
    """A table to be printed or written."""

    title: str
    """Above the table."""
    columns: Sequence[Column]
    """In order."""
    rows: Sequence[Mapping[str, Any]]
    """Column key -> exact value, None for no value."""
    totals: int = 0
    """Number of last rows that are set apart."""
    notes: Sequence[str] = ()
    """Lines below the table."""
    definitions: Sequence[str] = ()
    """What columns mean and where figures come from, for who asks (`explained`)."""
    narrow: bool = False
    """Whether columns stand closer in text."""
    line: str = ""
    """The result in a line, for who wants no table; "" where there is none."""

    def explained(self) -> Table:
        """The table with its definitions among the notes."""
        return replace(self, notes=(*self.notes, *self.definitions), definitions=())

    def cells(self, row: Mapping[str, Any]) -> list[str]:
        return ["" if row.get(c.key) is None else c.read(row[c.key]) for c in self.columns]


def plain(table: Table, note_width: int | None = None, width: int | None = None) -> str:
    """The table as text in its natural width, its notes below.

    A title may have several lines. Notes are broken into lines of `note_width` columns, if given. Where the table is
    wider than `width`, its columns stand closer; if need be those that are details are left out, which is said; names
    are broken into lines; and what doesn't fit even so comes in parts, one below the other, each with the first column
    again.
    """
    notes = list(table.notes)
    if width is not None and _width(table) > width:
        table = replace(table, narrow=True)
        details = [column for column in table.columns if column.detail]
        if details and _width(table) > width:
            table = replace(table, columns=[column for column in table.columns if not column.detail])
            left_out = ", ".join(column.title.replace("\n", " ") for column in details)
            notes.append(f"left out here: {left_out} (a wider terminal, or --format markdown, has them)")
    cells = [[c.title for c in table.columns], *map(table.cells, table.rows)]
    if width is not None:
        cells = _folded(table, cells, width)
    widest = _widest(cells)
    parts = [_text(table, cells[1:], part, widest) for part in _parts(widest, _gap(table), width)]
    if note_width is not None:
        notes = [_broken(note, note_width) for note in notes]
    return "\n".join([table.title, *parts, *notes]).strip("\n").rstrip() + "\n"


def _gap(table: Table) -> int:
    return 1 if table.narrow else 3


def _widest(cells: Sequence[Sequence[str]]) -> list[int]:
    """The columns' widths."""
    return [max(cell_len(line) for text in column for line in text.split("\n")) for column in zip(*cells, strict=True)]


def _needed(widest: Sequence[int], gap: int) -> int:
    """Width of a table with these columns: with a gap between, and a column of margin on either side."""
    return sum(width + gap for width in widest) - gap + 2


def _width(table: Table) -> int:
    return _needed(_widest([[c.title for c in table.columns], *map(table.cells, table.rows)]), _gap(table))


_LEAST = 16
"""Columns that a name is left with, at least."""


def _folded(table: Table, cells: list[list[str]], width: int) -> list[list[str]]:
    """The cells, with names in lines short enough for the table to fit; as they are where that isn't possible."""
    widest = _widest(cells)
    excess = _needed(widest, _gap(table)) - width
    folding = [k for k, column in enumerate(table.columns) if column.folds and widest[k] > _LEAST]
    if excess <= 0 or sum(widest[k] - _LEAST for k in folding) < excess:
        return cells
    for _ in range(excess):
        widest[max(folding, key=widest.__getitem__)] -= 1
    return [
        [_in_lines(text, widest[k]) if k in folding else text for k, text in enumerate(row)] for row in cells
    ]  # fmt: skip


def _in_lines(name: str, width: int) -> str:
    """A name in lines of `width` columns, broken behind a separator where there is one in the latter half."""
    lines = []
    while cell_len(name) > width:
        end = max((name.rfind(mark, width // 2, width) + 1 for mark in " /._:"), default=0) or width
        lines.append(name[:end].rstrip())
        name = " " + name[end:].lstrip()
    return "\n".join([*lines, name])


def _parts(widest: Sequence[int], gap: int, width: int | None) -> list[list[int]]:
    """Columns in parts whose width is at most `width`."""
    if width is None or not widest:
        return [list(range(len(widest)))]
    parts: list[list[int]] = [[0]]
    for column in range(1, len(widest)):
        if _needed([widest[k] for k in [*parts[-1], column]], gap) > width and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(column)
    return parts


def _text(table: Table, rows: Sequence[Sequence[str]], part: Sequence[int], widest: Sequence[int]) -> str:
    """These columns of the table as lines of text; rows: the cells as they are printed."""
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0) if table.narrow else (0, 1))
    for column in (table.columns[k] for k in part):
        made.add_column(Text(column.title), justify="left" if column.left else "right", no_wrap=True)
    for number, row in enumerate(rows, 1):
        made.add_row(*(Text(row[k]) for k in part), end_section=number == len(rows) - table.totals)
    buffer = io.StringIO()
    Console(file=buffer, width=sum(widest[k] + 3 for k in part) + 2, color_system=None).print(made)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _broken(note: str, width: int) -> str:
    return fill(note, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def markdown(table: Table) -> str:
    """The table as markdown: a heading, a pipe table, notes as a list."""
    rows = [[c.title.replace("\n", " ") for c in table.columns], ["---" if c.left else "---:" for c in table.columns]]
    rows += [table.cells(row) for row in table.rows]
    body = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    notes = [f"- {note}" for note in table.notes]
    head = [f"### {table.title}", ""] if table.title else []
    return "\n".join([*head, *body, *([""] if notes else []), *notes]) + "\n"


def to_csv(table: Table) -> str:
    """The rows as CSV, exact values, a header line of the columns' names in CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([c.csv_key or c.key for c in table.columns])
    for row in table.rows:
        writer.writerow(["" if row.get(c.key) is None else exact(row[c.key]) for c in table.columns])
    return buffer.getvalue()


def to_json(value: Any) -> str:
    """Plain data as indented JSON; fractions become numbers."""
    return json.dumps(value, indent=2, default=exact) + "\n"

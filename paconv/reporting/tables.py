"""Tables of figures and the ways to print them: for a terminal, markdown, CSV, JSON.

A cell holds the exact value; its column says how a person reads it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    narrow: bool = False
    """Whether columns stand closer in text."""

    def cells(self, row: Mapping[str, Any]) -> list[str]:
        return ["" if row.get(c.key) is None else c.read(row[c.key]) for c in self.columns]


def plain(table: Table, note_width: int | None = None, width: int | None = None) -> str:
    """The table as text in its natural width, its notes below.

    A title may have several lines. Notes are broken into lines of `note_width` columns, if given. Where the table is
    wider than `width`, its columns come in parts, one below the other, each with the first column again.
    """
    cells = [[c.title for c in table.columns], *map(table.cells, table.rows)]
    widest = [max(cell_len(line) for row in cells for line in row[i].split("\n")) for i in range(len(table.columns))]
    parts = [_text(table, part, widest) for part in _parts(widest, 1 if table.narrow else 3, width)]
    notes = table.notes if note_width is None else [_broken(note, note_width) for note in table.notes]
    return "\n".join([table.title, *parts, *notes]).strip("\n").rstrip() + "\n"


def _parts(widest: Sequence[int], gap: int, width: int | None) -> list[list[int]]:
    """Columns in parts whose width, with the first column and a column of margin on either side, is at most `width`."""
    if width is None or not widest:
        return [list(range(len(widest)))]
    parts: list[list[int]] = [[0]]
    for column in range(1, len(widest)):
        wanted = sum(widest[k] + gap for k in [*parts[-1], column]) - gap + 2
        if wanted > width and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(column)
    return parts


def _text(table: Table, part: Sequence[int], widest: Sequence[int]) -> str:
    """These columns of the table as lines of text."""
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0) if table.narrow else (0, 1))
    for column in (table.columns[k] for k in part):
        made.add_column(Text(column.title), justify="left" if column.left else "right", no_wrap=True)
    for number, row in enumerate(table.rows, 1):
        cells = table.cells(row)
        made.add_row(*(Text(cells[k]) for k in part), end_section=number == len(table.rows) - table.totals)
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
    return "\n".join([f"### {table.title}", "", *body, *([""] if notes else []), *notes]) + "\n"


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

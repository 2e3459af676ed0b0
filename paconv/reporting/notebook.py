"""Tables as a notebook shows them: HTML for `_repr_html_`.

Everything that comes from a model is escaped. Colours are the notebook's own, with lines of half transparent grey, so
that light and dark themes both show them; styles are written into the elements, as pages that show notebooks drop style
sheets.
"""

from __future__ import annotations

from html import escape

from paconv.reporting.tables import Table

__all__ = ["as_html"]

_LINE = "1px solid rgba(128, 128, 128, 0.5)"
_MOST_HEIGHT = "40em"
_SHORT = 30
"""Characters that stay on one line."""


def as_html(table: Table) -> str:
    """The table as HTML: its title and notes as text around it; a long one scrolls."""
    headings = "".join(
        f'<th scope="col" style="{_side(column.left)}; border-bottom: {_LINE}">{_lines(column.title)}</th>'
        for column in table.columns
    )
    rows = []
    for number, row in enumerate(table.rows):
        line = f"; border-top: {_LINE}" if table.totals and number == len(table.rows) - table.totals else ""
        cells = zip(table.columns, table.cells(row), strict=True)
        rows.append(
            "".join(f'<td style="{_side(c.left)}{_whole(cell)}{line}">{_lines(cell)}</td>' for c, cell in cells)
        )
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    title = f'<div style="margin: 0.3em 0">{_lines(table.title)}</div>\n' if table.title else ""
    notes = "".join(f'\n<div style="font-size: 90%; opacity: 0.8">{_lines(note)}</div>' for note in table.notes)
    return (
        f'{title}<div style="overflow: auto; max-height: {_MOST_HEIGHT}">'
        '<table style="border-collapse: collapse; color: inherit">\n'
        f"<thead><tr>{headings}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>{notes}\n"
    )


def _side(left: bool) -> str:
    return f"text-align: {'left' if left else 'right'}; padding: 0.15em 0.7em"


def _whole(text: str) -> str:
    return "; white-space: nowrap" if len(text) <= _SHORT else ""


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")

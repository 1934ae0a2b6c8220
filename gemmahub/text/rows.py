"""Rows of plain values as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from gemmahub.text import format_bytes, one_line
from gemmahub.text.markdown import markdown_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Cell = str | int | float | bool | None

# What a spreadsheet takes for a formula, in the first place of a cell (OWASP, "CSV Injection":
# https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_MOST: Final = 4096


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Comma-separated values as RFC 4180 quotes them, a header first, a line feed behind each row.

    Numbers are written in full, flags as ``true`` and ``false``, and what is not known is empty. A
    text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _csv_cell(cell: Cell) -> str:
    if not isinstance(cell, str):
        return plain_text(cell)
    shown = one_line(cell, _MOST)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def plain_text(cell: Cell) -> str:
    """A value as scripts read it."""
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def as_markdown(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table of GitHub's Markdown for people: sizes and large numbers are readable.

    Columns of numbers stand on the right. A column that ends in ``_bytes`` has sizes.
    """
    found = [list(row) for row in rows]
    numbers = [
        any(_is_number(row[at]) for row in found)
        and all(row[at] is None or _is_number(row[at]) for row in found)
        for at in range(len(columns))
    ]
    lines = [list(columns), ["---:" if number else "---" for number in numbers]]
    lines += [
        [_markdown_cell(name, cell) for name, cell in zip(columns, row, strict=True)]
        for row in found
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _markdown_cell(column: str, cell: Cell) -> str:
    if isinstance(cell, str):
        return markdown_line(cell, _MOST)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int) and column.endswith("_bytes"):
        return format_bytes(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    return "" if cell is None else f"{cell:.4g}"

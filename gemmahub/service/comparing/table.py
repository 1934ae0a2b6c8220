"""What a comparison is shown as: sections of rows with a cell for each side, and remarks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from gemmahub.service.comparing.text import letter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

BETTER: Final = "*"
"""Stands behind the best figure of a row."""


@dataclass(frozen=True, slots=True)
class TableCell:
    """What a row says of one side. ``better`` than the others; ``fits`` and ``share`` (of what is
    free) where it is a total of memory."""

    text: str
    better: bool = False
    fits: bool | None = None
    share: float | None = None

    @property
    def marked(self) -> str:
        """The text with its mark."""
        return f"{self.text} {BETTER}" if self.better else self.text


@dataclass(frozen=True, slots=True)
class Row:
    """A label, and a cell for each side. ``role`` names the weights where the row is about them."""

    label: str
    cells: tuple[TableCell, ...]
    role: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """What figures of some sides rest on, or what is wrong with them (``warning``)."""

    letters: str
    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.letters}: {self.text}"


@dataclass(frozen=True, slots=True)
class Section:
    """Rows on one matter, and the remarks on them."""

    title: str
    rows: tuple[Row, ...]
    remarks: tuple[Remark, ...] = ()


def row_of(
    label: str,
    values: Sequence[float | None],
    text: Callable[[Any], str],
    *,
    smaller: bool = False,
) -> Row:
    return marked(label, [TableCell(text(value)) for value in values], values, smaller=smaller)


def marked(
    label: str, cells: Sequence[TableCell], values: Sequence[float | None], *, smaller: bool = False
) -> Row:
    """The row with the best of its cells marked; none whose text another one has, too."""
    best = _best(values, smaller=smaller)
    others = {cell.text for number, cell in enumerate(cells) if number not in best}
    return Row(
        label,
        tuple(
            replace(cell, better=number in best and cell.text not in others)
            for number, cell in enumerate(cells)
        ),
    )


def _best(values: Sequence[float | None], *, smaller: bool = False) -> set[int]:
    """Which sides have the best value; none where one is unknown or all are equal."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len(set(known)) < 2:
        return set()
    best = min(known) if smaller else max(known)
    return {number for number, value in enumerate(values) if value == best}


def remarks_of(texts: Iterable[str], *, warning: bool = False) -> tuple[Remark, ...]:
    """Equal texts once, with the letters of all that they are about."""
    found: dict[str, str] = {}
    for number, text in enumerate(texts):
        if text:
            found[text] = found.get(text, "") + letter(number)
    return tuple(
        Remark(", ".join(letters), text, warning=warning) for text, letters in found.items()
    )


def lines_of(row: Row, label: int, width: int) -> Iterator[tuple[str, ...]]:
    """The lines of a row: the label on ``label`` characters and each cell on ``width``, broken
    between words where it is longer."""
    cells = [wrap(cell.marked, max(1, width)) or [""] for cell in row.cells]
    names = wrap(row.label, max(1, label)) or [""]
    for number in range(max(len(names), *map(len, cells))):
        pieces = [(names, label), *((cell, width) for cell in cells)]
        yield tuple(
            (lines[number] if number < len(lines) else "").ljust(size) for lines, size in pieces
        )

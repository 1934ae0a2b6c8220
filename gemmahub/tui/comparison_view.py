"""A comparison as lines of the screen: the rows of the command, with bars where there is room."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from textual.content import Content

from gemmahub.service.comparing.rows import sections
from gemmahub.service.comparing.table import BETTER, lines_of
from gemmahub.service.comparing.text import letter, size_plots
from gemmahub.service.size_quality import LEGEND
from gemmahub.tui.bars import precision_parts, role_letter, stacked
from gemmahub.tui.columns import bar, fitted
from gemmahub.tui.details import DOT_STYLES
from gemmahub.tui.sort_filter import short_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.service.comparing.records import Comparison
    from gemmahub.service.comparing.table import Row, Section, TableCell

_GAP: Final = 2
_PLOT_ROWS: Final = 9
_LEAST: Final = 13  # cells a column needs to stand beside others
_GAUGE: Final = 8
_WITH_GAUGE: Final = 28  # cells of a column from which a gauge has room
_MUTED: Final = "$foreground-muted"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Lines, and the numbers of those at which a part starts."""

    lines: list[Content] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)


def drawn(comparison: Comparison, width: int) -> Drawn:
    """The comparison on lines of ``width`` cells."""
    return _Painter(comparison, width).paint()


class _Painter:
    def __init__(self, comparison: Comparison, width: int) -> None:
        self.comparison = comparison
        self.sections = sections(comparison)
        self.width = width
        count = len(comparison.sides)
        self.label = 1 + max(len(_label(row)) for part in self.sections for row in part.rows)
        self.column = (width - self.label) // count - _GAP
        self.stacked = self.column < _LEAST
        self.done = Drawn()

    def paint(self) -> Drawn:
        lines = self.done.lines
        for number, section in enumerate(self.sections):
            if number:
                lines.append(Content(""))
            self._heading(section.title, letters=not self.stacked)
            for row in section.rows:
                lines += self._row(row)
                if row.label == "precision":
                    lines += self._bars()
            lines += self._remarks(section)
        self._plots()
        lines.append(Content(""))
        self._heading("what differs")
        for difference in self.comparison.differences:
            lines += self._wrapped(str(difference))
        if any(cell.better for part in self.sections for row in part.rows for cell in row.cells):
            lines += self._wrapped(f"{BETTER} best in its row", _MUTED)
        return self.done

    def _plots(self) -> None:
        """Size against quality, by the letters of the columns; a plot for each measure."""
        for measure, rows in size_plots(self.comparison, self.width, _PLOT_ROWS):
            self.done.lines.append(Content(""))
            self._heading(f"size against {measure.name}: {measure.about}")
            self.done.lines.extend(
                Content.assemble(*((text, DOT_STYLES.get(style, "")) for text, style in row))
                for row in rows
            )
            self.done.lines.extend(self._wrapped(LEGEND, _MUTED))

    def _heading(self, title: str, *, letters: bool = False) -> None:
        """A line of its own; the first one has the names of the columns below it."""
        self.done.starts.append(len(self.done.lines))
        self.done.lines.append(
            Content.styled(fitted(f" {title}", self.width), "$text-muted on $panel")
        )
        if letters:
            names = [
                fitted(f"{letter(n)} {short_reference(side.variant.reference)}", self.column)
                for n, side in enumerate(self.comparison.sides)
            ]
            self.done.lines.append(self._beside("", [Content.styled(n, "bold") for n in names]))

    def _beside(self, label: str, cells: Sequence[Content]) -> Content:
        """A label and cells of the column's width each."""
        gap = " " * _GAP
        pieces: list[Content | tuple[str, str] | str] = [(label.ljust(self.label), _MUTED)]
        for cell in cells:
            pieces += [cell, gap]
        return Content.assemble(*pieces)

    def _row(self, row: Row) -> Iterator[Content]:
        if self.stacked:
            yield from self._wrapped(_label(row), _MUTED)
            for number, cell in enumerate(row.cells):
                text = f"  {letter(number)} {cell.marked}"
                yield from self._wrapped(text, _style(cell), indent=4)
            return
        cells = [self._gauge(cell) for cell in row.cells]
        row = replace(row, label=_label(row), cells=tuple(cells))
        for label, *texts in lines_of(row, self.label, self.column):
            pieces = [
                Content.styled(text, _style(cell))
                for text, cell in zip(texts, row.cells, strict=True)
            ]
            yield self._beside(label, pieces)

    def _gauge(self, cell: TableCell) -> TableCell:
        if cell.share is None or self.column < _WITH_GAUGE:
            return cell
        return replace(cell, text=f"{bar(cell.share, _GAUGE)} {cell.text}")

    def _bars(self) -> Iterator[Content]:
        """The weights by role, in the letters of the rows below."""
        mixes = [side.variant.precision.mix for side in self.comparison.sides]
        if self.stacked or not any(mixes):
            return
        blank = Content(" " * self.column)
        yield self._beside(
            "", [stacked(precision_parts(m), self.column) if m else blank for m in mixes]
        )

    def _remarks(self, section: Section) -> Iterator[Content]:
        for remark in section.remarks:
            style = "$text-warning" if remark.warning else _MUTED
            mark = "! " if remark.warning else ""
            yield from self._wrapped(f"{mark}{remark}", style)

    def _wrapped(self, text: str, style: str = "", indent: int = 2) -> Iterator[Content]:
        for line in wrap(text, max(8, self.width), subsequent_indent=" " * indent):
            yield Content.styled(line, style)


def _label(row: Row) -> str:
    return f"{role_letter(row.role)} {row.label}" if row.role else row.label


def _style(cell: TableCell) -> str:
    if cell.fits is False:
        return "$text-error"
    return "bold" if cell.better else ""

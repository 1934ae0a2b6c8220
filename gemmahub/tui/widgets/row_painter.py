"""Draws the rows of the table of models, and keeps what it drew as long as it would be the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.segment import Segment
from textual.color import Color
from textual.strip import Strip

from gemmahub.text.bars import shares
from gemmahub.tui.columns import FIGURE, fitted, gib
from gemmahub.tui.sort_filter import fit_word
from gemmahub.tui.themes import LEAST_CONTRAST, contrast

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.style import Style

    from gemmahub.memory import MemoryPlan
    from gemmahub.tui.column_layout import ColumnLayout
    from gemmahub.tui.columns import Column
    from gemmahub.tui.sort_filter import Item

MARKS: Final = 2
"""Cells before the first column."""
_KEPT: Final = 2000
_FIT_STYLES: Final = {
    "fits": "fits",
    "tight": "tight",
    "partly": "tight",
    "too big": "too-big",
    "unknown": "dim",
}
_DIM: Final = ("rank", "where", "can")
_PARTS: Final = ("weights", "cache", "compute", "other")

Pieces = list[tuple[str, "Style"]]


class RowState(NamedTuple):
    """What a row looks like beside what it is: ``percent`` of it are here of what is fetched,
    ``plan`` is its memory as chosen, ``cursor`` the style of the cursor where that is on it."""

    marked: bool = False
    percent: int | None = None
    plan: MemoryPlan | None = None
    cursor: str = ""


class RowPainter:
    """``style_of`` gives the style of a part of the table, by its name in the style sheet."""

    def __init__(self, style_of: Callable[[str], Style]) -> None:
        self._style_of = style_of
        self._styles: dict[str, Style] = {}
        self._layout: ColumnLayout | None = None
        self._drawn: dict[tuple[object, ...], tuple[Item, RowState, Strip]] = {}

    def forget(self) -> None:
        """Other colours, or other rows."""
        self._styles.clear()
        self._drawn.clear()

    def style(self, name: str) -> Style:
        """That of a part of the table."""
        if name not in self._styles:
            self._styles[name] = self._style_of(f"model-table--{name}")
        return self._styles[name]

    def header(self, columns: ColumnLayout, width: int, sort: str, descending: bool) -> Strip:
        """The headings, with the direction of the order at its column."""
        plain, active = self.style("header"), self.style("sorted")
        pieces: Pieces = [(" " * MARKS, plain)]
        for column, cells in columns.columns:
            label, style = column.label, plain
            if column.key == sort:
                arrow = "▼" if descending else "▲"
                label, style = f"{label[: cells - 1]}{arrow}", active
            pieces.append((fitted(label, cells, right=column.right), style))
            pieces.append((" " * columns.gap, plain))
        return _strip(pieces, width, plain)

    def row(self, item: Item, columns: ColumnLayout, width: int, state: RowState) -> Strip:
        """A row on ``width`` cells; the same one again as long as nothing of it has changed."""
        if columns is not self._layout:
            self._layout = columns
            self._drawn.clear()
        folded = (item.more, item.open, item.below)
        key = (id(item.row), *folded, width, *state[:2], id(state.plan), state.cursor)
        if key not in self._drawn:
            if len(self._drawn) >= _KEPT:
                self._drawn.clear()
            # With what its key is made of, so that no other object gets the same number.
            self._drawn[key] = (item, state, self._row(item, columns, width, state))
        return self._drawn[key][2]

    def _row(self, item: Item, columns: ColumnLayout, width: int, state: RowState) -> Strip:
        row, base = item.row, self.style(state.cursor or "row")
        mark = "✓ " if state.marked else "● " if row.installed else "  "
        pieces = [(mark, self._over(base, "marked" if state.marked else "fits", state.cursor))]
        for column, cells in columns.columns:
            if column.key == "memory":
                pieces += self._memory(cells, state, base)
            else:
                text, style = self._cell(item, column, cells, state)
                pieces.append((text, self._over(base, style, state.cursor) if style else base))
            pieces.append((" " * columns.gap, base))
        return _strip(pieces, width, base)

    def _cell(self, item: Item, column: Column, cells: int, state: RowState) -> tuple[str, str]:
        """The text of a cell, and the name of its style, "" for the row's own."""
        key, row = column.key, item.row
        if key == "fit":
            return column.shown(item, cells), _FIT_STYLES[fit_word(row)]
        if key == "where" and state.percent is not None:
            return column.cut(f"↓ {state.percent} %", cells), "dim"
        style = "precision" if key == "precision" else "why" if key == "why" else ""
        if not style and (key in _DIM or row.fit.fits is None):
            style = "dim"
        text = item.named(column.cut, cells) if key == "model" else column.shown(item, cells)
        return text, style

    def _memory(self, cells: int, state: RowState, base: Style) -> Pieces:
        """What lies at the fullest place, of what is free there, and the figure of all places."""
        plan, bar = state.plan, cells - FIGURE - 1
        dim = self._over(base, "dim", state.cursor)
        if plan is None or bar < 1:
            return [(fitted("?", cells, right=True), dim)]
        place = max(plan.places, key=lambda p: p.total_bytes / (p.free_bytes or 1))
        parts = (
            place.weights_bytes + place.projector_bytes + place.drafter_bytes,
            place.kv_cache_bytes + place.saved_bytes,
            place.compute_bytes + place.output_bytes,
            place.overhead_bytes,
        )
        free = max(0, place.free_bytes - place.total_bytes)
        counts = shares((*parts, free), bar)
        if counts[-1] == bar:  # little, and not nothing
            counts[0], counts[-1] = 1, bar - 1
        found: Pieces = [
            (name[0].upper() * count, self.style(name))
            for name, count in zip(_PARTS, counts, strict=False)
            if count
        ]
        figure = gib(plan.total_bytes).rjust(FIGURE + 1)
        return [*found, ("┄" * counts[-1], dim), (fitted(figure, FIGURE + 1), base)]

    def _over(self, base: Style, name: str, cursor: str) -> Style:
        """A part's colour, on the cursor's ground where the cursor is, if it can be read."""
        if not cursor:
            return self.style(name)
        known = f"{cursor} {name}"
        if known not in self._styles:
            self._styles[known] = _readable(base, self.style(name), name)
        return self._styles[known]


def _readable(base: Style, style: Style, name: str) -> Style:
    ground, ink = base.bgcolor, style.color
    if name == "dim" or ground is None or ink is None:
        return base
    pair = Color.from_rich_color(ink), Color.from_rich_color(ground)
    return base + type(style)(color=ink) if contrast(*pair) >= LEAST_CONTRAST else base


def _strip(pieces: Pieces, width: int, base: Style) -> Strip:
    """Pieces as a line; neighbours of one style are one, so that there is less to draw."""
    joined: Pieces = []
    for text, style in pieces:
        if joined and joined[-1][1] is style:
            joined[-1] = (joined[-1][0] + text, style)
        elif text:
            joined.append((text, style))
    return Strip([Segment(*piece) for piece in joined]).adjust_cell_length(width, base)

"""The table of models: draws the lines that are in sight, so that thousands cost what few do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from rich.segment import Segment
from textual.binding import Binding
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from gemmahub.tui.bindings import named
from gemmahub.tui.columns import ColumnLayout, fitted, layout
from gemmahub.tui.sort_filter import Heading, Item, fit_word
from gemmahub.tui.themes import LEAST_CONTRAST, contrast
from gemmahub.tui.widgets.lines_view import LinesView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style
    from textual import events

_MARKS: Final = 2
_FIT_STYLES: Final = {
    "fits": "model-table--fits",
    "tight": "model-table--tight",
    "partly": "model-table--tight",
    "too big": "model-table--too-big",
    "unknown": "model-table--dim",
}


class ModelTable(LinesView, can_focus=True, inherit_bindings=False):
    """Rows with a cursor that stays on its model when rows are sorted, filtered or replaced.
    ``fetched`` are per cent of the models that are on their way, by reference."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "model-table--row",
        "model-table--header",
        "model-table--sorted",
        "model-table--heading",
        "model-table--cursor",
        "model-table--cursor-blurred",
        "model-table--dim",
        "model-table--fits",
        "model-table--tight",
        "model-table--too-big",
        "model-table--precision",
        "model-table--marked",
    }
    BINDINGS: ClassVar = named(
        "table",
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "A page up", show=False),
        Binding("pagedown", "page(1)", "A page down", show=False),
        Binding("home,g", "first", "First model", show=False),
        Binding("end,G", "last", "Last model", show=False),
        Binding("enter", "choose", "Run/get"),
    )

    cursor: reactive[int] = reactive(0, repaint=False)
    sort: reactive[str] = reactive("where")
    descending: reactive[bool] = reactive(False)
    marked: reactive[frozenset[str]] = reactive(frozenset())
    fetched: reactive[dict[str, int]] = reactive({})

    @dataclass
    class Highlighted(Message):
        """The cursor is on another model, None where there is none."""

        item: Item | None

        def can_replace(self, message: Message) -> bool:
            """Only where the cursor came to rest matters."""
            return isinstance(message, ModelTable.Highlighted)

    @dataclass
    class Chosen(Message):
        """Enter, or a double click."""

        item: Item

    @dataclass
    class SortAsked(Message):
        """A click on a heading."""

        column: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: Sequence[Item | Heading] = ()
        self.empty_text = ""
        self._layout = ColumnLayout((), 1)
        self._layout_width = -1

    # --- what it shows -------------------------------------------------------------------------

    @property
    def item(self) -> Item | None:
        """The model under the cursor."""
        line = self.lines[self.cursor] if self.cursor < len(self.lines) else None
        return line if isinstance(line, Item) else None

    def show(self, lines: Sequence[Item | Heading]) -> None:
        """Replace the lines. The cursor stays on its model, and that on its place of the screen."""
        before = self.item
        wanted = before.reference if before else None
        above = self.cursor - self.scroll_offset.y
        self.lines = lines
        found = self._find(wanted, before.row.model if before else "")
        self.set_height(len(lines) + 1)
        self.set_reactive(ModelTable.cursor, found)
        top = found - above if wanted is not None else 0
        self.scroll_to(y=max(0, top), animate=False, immediate=True, force=True)
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Highlighted(self.item))

    def go_to(self, reference: str) -> None:
        """The cursor to a row that is there."""
        self.cursor = self._find(reference)

    def _find(self, reference: str | None, model: str = "") -> int:
        """The line of a variant, else that of its model, below which it is folded, else the nearest
        one to the cursor that has a variant."""
        items = [(n, line) for n, line in enumerate(self.lines) if isinstance(line, Item)]
        for number, item in items:
            if item.reference == reference:
                return number
        for number, item in items:
            if model and item.row.model == model:
                return number
        at = 0 if reference is None else min(self.cursor, max(0, len(self.lines) - 1))
        return self._next_item(at, 1)

    def _next_item(self, at: int, step: int) -> int:
        """The first line from ``at`` on that is a model, in one direction and then the other."""
        for direction in (step, -step):
            number = at
            while 0 <= number < len(self.lines):
                if isinstance(self.lines[number], Item):
                    return number
                number += direction
        return 0

    # --- moving --------------------------------------------------------------------------------

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint the two lines, and say it."""
        self._refresh_line(old)
        self._refresh_line(new)
        self._keep_in_sight()
        self.post_message(self.Highlighted(self.item))

    def watch_has_focus(self, _has_focus: bool) -> None:
        """The cursor looks another way without the focus."""
        super().watch_has_focus(_has_focus)
        self._refresh_line(self.cursor)

    def watch_marked(self) -> None:
        """Marks stand in the lines."""
        self.refresh()

    def _refresh_line(self, number: int) -> None:
        y = number + 1 - self.scroll_offset.y
        if 0 < y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _keep_in_sight(self) -> None:
        room = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        # The heading above the first model of a group is worth seeing too.
        first = self.cursor
        if first and isinstance(self.lines[first - 1], Heading):
            first -= 1
        if first < top:
            self.scroll_to(y=first, animate=False, immediate=True, force=True)
        elif self.cursor >= top + room:
            self.scroll_to(y=self.cursor - room + 1, animate=False, immediate=True, force=True)

    def _go(self, at: int, step: int) -> None:
        if self.lines:
            self.cursor = self._next_item(min(max(0, at), len(self.lines) - 1), step)

    def action_move(self, step: int) -> None:
        """A line up or down."""
        self._go(self.cursor + step, step)

    def action_page(self, step: int) -> None:
        """A page up or down."""
        self._go(self.cursor + step * max(1, self.size.height - 2), step)

    def action_first(self) -> None:
        """The first model."""
        self._go(0, 1)

    def action_last(self) -> None:
        """The last model."""
        self._go(len(self.lines) - 1, -1)

    def action_choose(self) -> None:
        """Choose the model under the cursor."""
        if self.item is not None:
            self.post_message(self.Chosen(self.item))

    def on_click(self, event: events.Click) -> None:
        """A click goes to a line, a second one chooses; on the headings it sorts."""
        self.focus()
        if event.y == 0:
            if column := self._column_at(event.x):
                self.post_message(self.SortAsked(column))
            return
        number = event.y - 1 + self.scroll_offset.y
        if number < len(self.lines) and isinstance(self.lines[number], Item):
            self.cursor = number
            if event.chain == 2:
                self.action_choose()

    def _column_at(self, x: int) -> str | None:
        at = _MARKS
        for column, width in self._columns(self._layout_width).columns:
            if at <= x < at + width + self._layout.gap:
                return column.key
            at += width + self._layout.gap
        return None

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.set_height(len(self.lines) + 1)
        self._keep_in_sight()

    # --- drawing -------------------------------------------------------------------------------

    def _columns(self, width: int) -> ColumnLayout:
        if width != self._layout_width:
            self._layout, self._layout_width = layout(max(1, width - _MARKS)), width
        return self._layout

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.scrollable_content_region.width
        if y == 0:
            return self._header(width)
        number = y - 1 + self.scroll_offset.y
        if number >= len(self.lines):
            return self._blank(y, width)
        line = self.lines[number]
        if isinstance(line, Heading):
            style = self.get_component_rich_style("model-table--heading")
            return Strip([Segment(fitted(f" {line.text}", width), style)], width)
        return self._item(line, width, number == self.cursor)

    def _blank(self, y: int, width: int) -> Strip:
        text = self.empty_text if y == 2 and not self.lines else ""
        style = self.get_component_rich_style("model-table--dim")
        return Strip([Segment(fitted(f"  {text}", width), style)], width)

    def _header(self, width: int) -> Strip:
        plain = self.get_component_rich_style("model-table--header")
        active = self.get_component_rich_style("model-table--sorted")
        found = self._columns(width)
        segments = [Segment(" " * _MARKS, plain)]
        for column, cells in found.columns:
            label, style = column.label, plain
            if column.key == self.sort:
                arrow = "▼" if self.descending else "▲"
                label, style = f"{label[: cells - 1]}{arrow}", active
            segments.append(Segment(fitted(label, cells, right=column.right), style))
            segments.append(Segment(" " * found.gap, plain))
        return Strip(segments).adjust_cell_length(width, plain)

    def _item(self, item: Item, width: int, under_cursor: bool) -> Strip:
        row = item.row
        base = self.get_component_rich_style("model-table--row")
        if under_cursor:
            name = "cursor" if self.has_focus else "cursor-blurred"
            base = self.get_component_rich_style(f"model-table--{name}")
        found = self._columns(width)
        chosen = item.reference in self.marked
        mark = "✓ " if chosen else "● " if row.installed else "  "
        marked = "model-table--marked" if chosen else "model-table--fits"
        segments = [Segment(mark, self._over(base, marked, under_cursor))]
        gap = Segment(" " * found.gap, base)
        for column, cells in found.columns:
            style = base
            if column.key == "fit":
                style = self._over(base, _FIT_STYLES[fit_word(row)], under_cursor)
            elif column.key == "precision":
                style = self._over(base, "model-table--precision", under_cursor)
            elif column.key in ("rank", "where") or row.fit.fits is None:
                style = self._over(base, "model-table--dim", under_cursor)
            text = column.shown(item, cells)
            if column.key == "where" and item.reference in self.fetched:
                text = column.cut(f"↓ {self.fetched[item.reference]} %", cells)
            elif column.key == "model":
                text = item.named(column.cut, cells)
            segments.append(Segment(text, style))
            segments.append(gap)
        return Strip(segments).adjust_cell_length(width, base)

    def _over(self, base: Style, component: str, under_cursor: bool) -> Style:
        """A component's colour, on the cursor's ground where the cursor is, if it can be read."""
        style = self.get_component_rich_style(component)
        if not under_cursor:
            return style
        ground, ink = base.bgcolor, style.color
        if component == "model-table--dim" or ground is None or ink is None:
            return base
        pair = Color.from_rich_color(ink), Color.from_rich_color(ground)
        return base + type(style)(color=ink) if contrast(*pair) >= LEAST_CONTRAST else base

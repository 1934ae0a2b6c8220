"""The table of models: draws the lines that are in sight, so that thousands cost what few do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from gemmahub.tui.bindings import named
from gemmahub.tui.column_layout import ColumnLayout, layout
from gemmahub.tui.columns import fitted
from gemmahub.tui.sort_filter import Heading, Item
from gemmahub.tui.widgets.lines_view import LinesView
from gemmahub.tui.widgets.row_painter import MARKS, RowPainter, RowState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events

    from gemmahub.memory import MemoryPlan
    from gemmahub.tui.columns import Column


class ModelTable(LinesView, can_focus=True, inherit_bindings=False):
    """Rows with a cursor that stays on its model when rows are sorted, filtered or replaced.
    ``fetched`` are per cent of the models that are on their way, by reference; ``memory_of`` plans
    the memory of a row as it is chosen."""

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
        "model-table--why",
        "model-table--weights",
        "model-table--cache",
        "model-table--compute",
        "model-table--other",
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
        self.memory_of: Callable[[Item], MemoryPlan | None] = lambda item: item.row.memory
        self._painter = RowPainter(self.get_component_rich_style)
        self._layout = ColumnLayout(())
        self._layout_width = -1

    # --- what it shows -------------------------------------------------------------------------

    @property
    def item(self) -> Item | None:
        """The model under the cursor."""
        line = self.lines[self.cursor] if self.cursor < len(self.lines) else None
        return line if isinstance(line, Item) else None

    def notify_style_update(self) -> None:
        """Another theme, other colours."""
        super().notify_style_update()
        self._painter.forget()

    def show(self, lines: Sequence[Item | Heading], *, from_top: bool = False) -> None:
        """Replace the lines. The cursor stays on its model, and that on its place of the screen;
        ``from_top`` it goes to the first one."""
        before = None if from_top else self.item
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
                self.post_message(self.SortAsked(column.key))
            return
        number = event.y - 1 + self.scroll_offset.y
        if number < len(self.lines) and isinstance(self.lines[number], Item):
            self.cursor = number
            if event.chain == 2:
                self.action_choose()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Over a heading, say what its column means."""
        column = self._column_at(event.x) if event.y == 0 else None
        told = None if column is None else f"{column.label}: {column.help}"
        if self.tooltip != told:
            self.tooltip = told

    def _column_at(self, x: int) -> Column | None:
        at = MARKS
        for column, width in self._columns(self._layout_width).columns:
            if at <= x < at + width + self._layout.gap:
                return column
            at += width + self._layout.gap
        return None

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.set_height(len(self.lines) + 1)
        self._keep_in_sight()

    # --- drawing -------------------------------------------------------------------------------

    def _columns(self, width: int) -> ColumnLayout:
        if width != self._layout_width:
            self._layout, self._layout_width = layout(max(1, width - MARKS)), width
        return self._layout

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.scrollable_content_region.width
        if y == 0:
            found = self._columns(width)
            return self._painter.header(found, width, self.sort, self.descending)
        number = y - 1 + self.scroll_offset.y
        if number >= len(self.lines):
            return self._blank(y, width)
        line = self.lines[number]
        if isinstance(line, Heading):
            text = fitted(f" {line.text}", width)
            return Strip([Segment(text, self._painter.style("heading"))], width)
        return self._painter.row(line, self._columns(width), width, self._state(number, line))

    def _state(self, number: int, item: Item) -> RowState:
        cursor = ""
        if number == self.cursor:
            cursor = "cursor" if self.has_focus else "cursor-blurred"
        return RowState(
            item.reference in self.marked,
            self.fetched.get(item.reference),
            self.memory_of(item),
            cursor,
        )

    def _blank(self, y: int, width: int) -> Strip:
        text = self.empty_text if y == 2 and not self.lines else ""
        dim = self._painter.style("dim")
        return Strip([Segment(fitted(f"  {text}", width), dim)], width)

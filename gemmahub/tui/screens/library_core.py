"""What the library does: reads what is here or known, arranges it, shows what the cursor is on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from gemmahub.errors import GemmahubError
from gemmahub.recommend.goals import USES
from gemmahub.service import Requirements
from gemmahub.text import one_line, plural
from gemmahub.text.command import command_line
from gemmahub.tui.chosen_memory import ChosenMemory
from gemmahub.tui.free_memory import moved
from gemmahub.tui.messages import LibraryChanged
from gemmahub.tui.sort_filter import (
    SHOWN,
    SORT_WORDS,
    SORTS,
    Item,
    SortFilter,
    descends,
    filtered,
    folded,
    item_of,
    ordered,
    with_rules,
)
from gemmahub.tui.widgets.detail import DetailPane
from gemmahub.tui.widgets.key_line import KeyLine
from gemmahub.tui.widgets.machine_bar import MachineBar
from gemmahub.tui.widgets.model_table import ModelTable
from gemmahub.tui.widgets.status_line import LOOK_SECONDS, StatusLine, fetched
from gemmahub.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from gemmahub.hardware.records import Machine
    from gemmahub.service import Library
    from gemmahub.service.overview import LibraryReading, ModelOverview
    from gemmahub.tui.state import State

_LOOK_EVERY = 3.0  # seconds between two looks at the memory
_QUIET = 0.5  # seconds without a key before rows are planned again


class LibraryCore(Screen[None]):
    """The table, the detail pane, and what fills them."""

    AUTO_FOCUS = "ModelTable"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Of the last line, as :class:`KeyLine` wants them."""

    @dataclass
    class Loaded(Message):
        """Everything was looked at for these options."""

        overview: ModelOverview
        options: tuple[Requirements, dict[str, str]]
        items: list[Item]

    @dataclass
    class Failed(Message):
        """It could not be read."""

        error: GemmahubError

    @dataclass
    class Engines(Message):
        """The backends here, and whether each works."""

        engines: tuple[tuple[str, bool], ...]

    def __init__(self, library: Library, state: State | None = None) -> None:
        super().__init__()
        from gemmahub.tui.state import State as Fresh

        self.library = library
        self.state = state or Fresh(None)
        kept = self.state.values
        self.sort_filter = SortFilter(
            kept.show if kept.show in SHOWN else "all",
            kept.sort if kept.sort in SORTS else "where",
            kept.reverse,
            kept.folded,
            kept.filter,
        )
        self.wanted = Requirements(kept.use if kept.use in USES else "chat")
        self.elsewhere: dict[str, str] = {}  # options of the command for another machine
        self.overview: ModelOverview | None = None
        self.machine: Machine | None = None
        self._unfolded: set[str] = set()  # models whose variants are shown
        self._reading: LibraryReading | None = None
        self._last_key = 0.0
        self.chosen_memory = ChosenMemory(library)
        self._items: list[Item] = []
        self._ordered: list[Item] = []

    def compose(self) -> ComposeResult:
        """The machine, the table with its filter, the details, the command, the keys."""
        yield MachineBar(id="machine")
        yield Welcome(id="welcome")
        with Container(id="body"):
            with Vertical(id="left") as left:
                left.border_title = "Models"
                with Horizontal(id="tools"):
                    yield Static("Models", id="models-title", markup=False)
                    yield Input(placeholder="/ to filter", compact=True, id="filter")
                    yield Static("", id="status", markup=False)
                yield ModelTable(id="models")
            yield DetailPane(id="detail")
        yield Static("", id="command", markup=False)
        yield StatusLine()
        yield KeyLine(self.KEYS)

    def on_mount(self) -> None:
        """Start looking; the screen is painted before anything is read."""
        table = self.query_one(ModelTable)
        table.memory_of = lambda item: self.chosen_memory.of(item.row, self.machine)
        table.empty_text = "looking what is here and what this machine runs …"
        table.focus()
        entry = self.query_one("#filter", Input)
        with entry.prevent(Input.Changed):
            entry.value = self.sort_filter.filter
        self._timer = self.set_interval(_LOOK_EVERY, self.look_at_machine)
        self.set_interval(LOOK_SECONDS, self._follow_downloads)
        self.load()

    def on_screen_suspend(self) -> None:
        """Nothing is looked at while another screen is in front: a model may be answering."""
        self._timer.pause()

    def on_screen_resume(self) -> None:
        """The memory is another one after a chat."""
        self._timer.resume()
        if self.overview is not None:
            self.look_at_machine()

    # --- reading, in threads -------------------------------------------------------------------

    @work(thread=True, exclusive=True, exit_on_error=False, group="library")
    def load(self, again: bool = False) -> None:
        """Look at everything, for what is wanted and the machine; ``again`` at the stores, too."""
        from gemmahub.service import plugin_rows
        from gemmahub.service.overview import LibraryReading

        wanted, elsewhere = self.wanted, self.elsewhere
        try:
            machine = self.library.machine_for(**elsewhere)
            reading = self._reading
            if reading is None or again:
                reading = self._reading = LibraryReading(self.library, again=again)
            overview = reading.overview(wanted, machine)
        except Exception as error:  # noqa: BLE001 - a plugin may raise what it likes
            self.post_message(self.Failed(GemmahubError.of(error)))
            return
        self._show(overview, (wanted, elsewhere))
        if self.query_one(MachineBar).engines is None:
            backends = plugin_rows.backend_rows(self.library)
            engines = tuple((b.name, b.available) for b in backends if b.automatic)
            self.post_message(self.Engines(engines))

    @work(thread=True, exclusive=True, exit_on_error=False, group="machine")
    def look_at_machine(self) -> None:
        """See what is free now, and plan every row for it where it is another sum than before."""
        before, reading, asked = self.machine, self._reading, (self.wanted, self.elsewhere)
        if before is None or before.simulated or self.elsewhere or reading is None:
            return
        try:
            machine = self.library.machine_for()
            if moved(machine, before) and monotonic() - self._last_key > _QUIET:
                self._show(reading.overview(self.wanted, machine), asked)
        except GemmahubError as error:
            self.post_message(self.Failed(error))

    def _show(self, overview: ModelOverview, asked: tuple[Requirements, dict[str, str]]) -> None:
        items = [item_of(row) for row in overview.rows]
        self.post_message(self.Loaded(overview, asked, items))

    def on_key(self) -> None:
        """Nothing is planned while somebody types."""
        self._last_key = monotonic()

    @on(Loaded)
    def _loaded(self, event: Loaded) -> None:
        if event.options != (self.wanted, self.elsewhere):
            return  # another question was asked meanwhile
        self.overview, self.machine = event.overview, event.overview.machine
        self._items = event.items
        self.chosen_memory.forget()
        self.query_one(MachineBar).machine = event.overview.machine
        self.query_one(Welcome).show_for(event.overview, self.library)
        self._arrange()
        if event.overview.problem:
            self.notify(event.overview.problem, severity="warning", markup=False, timeout=8)

    @on(Failed)
    def _failed(self, event: Failed) -> None:
        text = event.error.in_full
        if self.overview is None:
            self.query_one(MachineBar).problem = event.error.message
            self.query_one(ModelTable).empty_text = f"{text} (f5 looks again)"
            self.query_one(ModelTable).refresh()
        self.app.notify(text, severity="error", markup=False, timeout=10)

    @on(Engines)
    def _engines(self, event: Engines) -> None:
        self.query_one(MachineBar).engines = event.engines

    def _follow_downloads(self) -> None:
        self.query_one(ModelTable).fetched = fetched(self.app)

    @on(LibraryChanged)
    def _changed(self) -> None:
        self.load(again=True)

    def rank_for(self, wanted: Requirements, elsewhere: dict[str, str]) -> None:
        """Look again, for this use, and for another machine where options name one."""
        self.wanted, self.elsewhere = wanted, elsewhere
        self.load()

    # --- arranging -----------------------------------------------------------------------------

    def _arrange(self, *, from_top: bool = False) -> None:
        self._ordered = ordered(self._items, self.sort_filter)
        self._filter(from_top=from_top)

    def _filter(self, *, from_top: bool = False) -> None:
        sort_filter, table = self.sort_filter, self.query_one(ModelTable)
        found = filtered(self._ordered, sort_filter.filter)
        table.sort, table.descending = sort_filter.sort, descends(sort_filter)
        if self.overview is not None:
            table.empty_text = self._why_empty()
        lines = found  # what is searched for is not folded
        if sort_filter.folded and not sort_filter.filter:
            lines = folded(found, self._unfolded)
        ruled = with_rules(lines, sort_filter, self.wanted.goal.usable)
        table.show(ruled, from_top=from_top)
        order = SORT_WORDS.get(sort_filter.sort, f"by {sort_filter.sort}")
        text = f"{plural(len(found), 'variant')} · [v] {sort_filter.show} · [s] {order}"
        self.query_one("#status", Static).update(f"{text} · [u] {self.wanted.use}", layout=False)

    def _why_empty(self) -> str:
        if self.sort_filter.filter:
            return f"nothing has “{self.sort_filter.filter}” in it: escape clears the filter"
        if self.sort_filter.show == "installed":
            return "nothing is installed yet: v shows what fits, enter downloads it"
        return "nothing fits what is free: v shows all"

    def unfold(self, reference: str) -> None:
        """Show a variant, whatever is folded, with the cursor on it."""
        model = next((i.row.model for i in self._items if i.reference == reference), None)
        if model is not None:
            self._unfolded.add(model)
            self._filter()
            self.query_one(ModelTable).go_to(reference)

    def rearrange(self, **changes: object) -> None:
        """Show, sort, group otherwise, and keep it for the next time. In another order the cursor
        is on the first of it."""
        self.sort_filter = replace(self.sort_filter, **changes)  # type: ignore[arg-type]
        self._arrange(from_top="reverse" in changes)
        self.call_after_refresh(self.state.remember, **changes)  # a disk is slow

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.sort_filter = replace(self.sort_filter, filter=event.value)
        self._filter()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.state.remember(filter=self.sort_filter.filter)
        self.query_one(ModelTable).focus()

    # --- the details ---------------------------------------------------------------------------

    @on(ModelTable.Highlighted)
    def _highlighted(self, event: ModelTable.Highlighted) -> None:
        row = event.item.row if event.item else None
        if row is None or row is not self.query_one(DetailPane).row:
            self._show_detail()

    def _show_detail(self) -> None:
        from gemmahub.service.planner import planner_for

        detail, item = self.query_one(DetailPane), self.query_one(ModelTable).item
        if item is None or self.machine is None:
            detail.show_row(None, None)
        else:
            try:
                row = item.row
                planner = planner_for(self.library, row.variant, self.machine, row.recommendation)
                detail.show_row(row, planner)
            except (GemmahubError, OSError) as error:
                detail.show_row(item.row, None, str(error))
        self._show_command()  # not when the pane's message has come: that is a frame later

    def _show_command(self) -> None:
        command = one_line(self.command, 1000)
        text = f"$ {command}" if self.query_one(DetailPane).command else ""
        shown = self.query_one("#command", Static)
        if shown.content != text:
            shown.update(text, layout=False)

    @property
    def command(self) -> str:
        """What a person would type for what is shown."""
        if self.elsewhere:
            return command_line("recommend", **self.elsewhere, use=self.wanted.use)
        return self.query_one(DetailPane).command

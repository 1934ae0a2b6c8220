"""The library: everything that is here or known, and what this machine makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding
from textual.widgets import Input

from gemmahub.recommend.goals import USES
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import copy_command
from gemmahub.tui.messages import OpenChat, OpenDuel, Pull
from gemmahub.tui.screens.library_core import LibraryCore
from gemmahub.tui.sort_filter import SHOWN, SORTS, filtered
from gemmahub.tui.widgets.detail import DetailPane
from gemmahub.tui.widgets.model_table import ModelTable

if TYPE_CHECKING:
    from textual.timer import Timer

    from gemmahub.tui.sort_filter import Item

_MOST_MARKS = 3
_REST = 0.15  # seconds without a key before the rows follow the context that is being chosen


class LibraryScreen(LibraryCore):
    """The keys that go from here to everywhere else."""

    KEYS: ClassVar = (
        ("choose", "Run/get"),
        ("filter", "Filter"),
        ("explain", "Explain"),
        ("context(1)", "Context"),
        ("cache_type", "Cache"),
        ("fold", "Variants"),
        ("what_if", "What if"),
        ("mark", "Mark"),
        ("compare", "Compare"),
        ("copy", "Copy"),
        ("app.search", "Search hub"),
        ("show", "Show"),
        ("sort(1)", "Sort"),
        ("use", "Use"),
        ("duel", "Duel"),
        ("downloads", "Downloads"),
        ("serving", "Serve"),
        ("plugins", "Plugins"),
        ("remove", "Remove"),
        ("recommended", "Recommended"),
        ("back", "Back"),
        ("quit", "Quit"),
        ("keys", "Keys"),
    )
    """Actions of the last line, the most important first; the last one is always there."""

    BINDINGS: ClassVar = named(
        "library",
        # Before the table sees the next key: letters that follow at once belong to the filter.
        Binding("slash", "filter", "Filter", key_display="/", priority=True),
        Binding("left,h,minus", "context(-1)", "Less context", show=False),
        Binding("right,l,plus", "context(1)", "Context", key_display="←→"),
        Binding("t", "cache_type", "Cache"),
        Binding("0", "recommended", "Recommended settings", show=False),
        Binding("e", "explain", "Explain the score"),
        Binding("w", "what_if", "What if"),
        Binding("space", "fold", "Variants", key_display="space"),
        Binding("x", "mark", "Mark for comparing", show=False),
        Binding("c", "compare", "Compare"),
        Binding("P", "sizes", "Size against quality", show=False),
        Binding("d", "duel", "Duel", show=False),
        Binding("v", "show", "Show all, fits, installed", show=False),
        Binding("s", "sort(1)", "Sort by the next column", show=False),
        Binding("S", "sort(-1)", "Sort by the column before", show=False),
        Binding("r", "reverse", "Reverse the order", show=False),
        Binding("m", "fold_all", "One row a model, or all variants", show=False),
        Binding("u", "use", "Use: chat, long context, …", show=False),
        Binding("y,f9", "copy", "Copy the command", show=False),
        Binding("a", "app.search", "Search the hub, or get by name", show=False),
        Binding("X,delete,f8", "remove", "Remove from this machine", show=False),
        Binding("J,shift+down", "scroll_detail(3)", "Scroll the details down", show=False),
        Binding("K,shift+up", "scroll_detail(-3)", "Scroll the details up", show=False),
        Binding("f5", "refresh", "Look again", show=False),
        Binding("escape", "back", "Back to the table", show=False),
    )

    _resting: Timer | None = None

    @on(DetailPane.Planned)
    def _planned(self) -> None:
        self._show_command()
        detail, memory = self.query_one(DetailPane), self.chosen_memory
        if (detail.wanted, detail.wanted_cache) != (memory.context, memory.cache_type):
            if self._resting is not None:
                self._resting.stop()
            self._resting = self.set_timer(_REST, self._follow_choice)

    def _follow_choice(self) -> None:
        """The memory of all rows in sight, at the context that was chosen."""
        detail = self.query_one(DetailPane)
        if self.chosen_memory.choose(detail.wanted, detail.wanted_cache):
            self.query_one(ModelTable).refresh()

    @on(ModelTable.Chosen)
    def _chosen(self, event: ModelTable.Chosen) -> None:
        row, detail = event.item.row, self.query_one(DetailPane)
        if self.overview is not None and self.overview.machine.simulated:
            self.notify("that is another machine: escape comes back to this one", markup=False)
        elif row.installed and row.obstacle:
            self.notify(row.obstacle, severity="warning", markup=False)
        elif row.installed:
            self.post_message(OpenChat(row.variant.reference, detail.settings))
        else:
            self.post_message(Pull(row.variant.reference, True, detail.settings))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the filter a slash is a slash."""
        return action != "filter" or not isinstance(self.focused, Input)

    def action_filter(self) -> None:
        """Type a filter."""
        self.set_focus(self.query_one("#filter", Input))

    def action_back(self) -> None:
        """Out of the filter, out of the what-if, back to the table."""
        table, entry = self.query_one(ModelTable), self.query_one("#filter", Input)
        if entry.value and (entry.has_focus or table.has_focus):
            entry.value = ""
            self.state.remember(filter="")
        elif table.has_focus and self.overview is not None and self.overview.machine.simulated:
            self.rank_for(self.wanted, {})
        table.focus()

    def action_context(self, step: int) -> None:
        """More or less context in the plan."""
        self.query_one(DetailPane).step_context(step)

    def action_cache_type(self) -> None:
        """Another cache type in the plan."""
        self.query_one(DetailPane).next_cache_type()

    def action_recommended(self) -> None:
        """The settings that are recommended."""
        self.query_one(DetailPane).recommended_settings()

    def action_show(self) -> None:
        """All, what fits, or what is installed."""
        number = SHOWN.index(self.sort_filter.show)
        self.rearrange(show=SHOWN[(number + 1) % len(SHOWN)])

    def action_sort(self, step: int) -> None:
        """By the next column."""
        number = SORTS.index(self.sort_filter.sort)
        self.rearrange(sort=SORTS[(number + step) % len(SORTS)], reverse=False)

    def action_sort_by(self, column: str) -> None:
        """By that column."""
        self.rearrange(sort=column, reverse=False)

    @on(ModelTable.SortAsked)
    def _sort_asked(self, event: ModelTable.SortAsked) -> None:
        if event.column == self.sort_filter.sort:
            self.action_reverse()
        else:
            self.rearrange(sort=event.column, reverse=False)

    def action_reverse(self) -> None:
        """The other way round."""
        self.rearrange(reverse=not self.sort_filter.reverse)

    def action_fold(self) -> None:
        """Show the other variants of the model under the cursor, or fold them."""
        item = self.query_one(ModelTable).item
        if item is None:
            return
        self._unfolded ^= {item.row.model}
        first = next(i for i in self._ordered if i.row.model == item.row.model)
        self._filter()
        if item.below:
            self.query_one(ModelTable).go_to(first.reference)

    def action_fold_all(self) -> None:
        """One row a model, or all variants."""
        self._unfolded.clear()
        self.rearrange(folded=not self.sort_filter.folded)

    def action_use(self) -> None:
        """Rank for another use."""
        number = USES.index(self.wanted.use)
        self.state.remember(use=USES[(number + 1) % len(USES)])
        self.rank_for(replace(self.wanted, use=self.state.values.use), self.elsewhere)

    def action_refresh(self) -> None:
        """Look at stores and memory again."""
        self.load(again=True)

    def action_scroll_detail(self, lines: int) -> None:
        """Scroll the details while the table has the focus."""
        self.query_one(DetailPane).scroll_relative(y=lines, animate=False)

    def action_copy(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)

    def action_mark(self) -> None:
        """Mark for comparing, or take the mark away."""
        table = self.query_one(ModelTable)
        if table.item is None:
            return
        changed = table.marked ^ {table.item.reference}
        if len(changed) > _MOST_MARKS:
            self.notify(f"{_MOST_MARKS} variants at most: c compares them", markup=False)
            return
        table.marked = changed

    def action_explain(self) -> None:
        """Why the model under the cursor ranks where it does."""
        from gemmahub.tui.screens.explain import ExplainScreen, explain_command

        item, overview = self.query_one(ModelTable).item, self.overview
        if item is None or overview is None:
            return
        ranked = sum(row.rank is not None for row in overview.rows)
        command = explain_command(item.row, overview.rows, self.wanted.use, self.elsewhere)
        self.app.push_screen(ExplainScreen(item.row, ranked, command))

    @work
    async def action_compare(self) -> None:
        """The marked variants side by side."""
        from gemmahub.tui.screens.compare import CompareScreen

        items = self._marked()
        if self.machine is None or len(items) < 2:
            self.notify(
                "two or three variants are compared side by side: x marks them, then c",
                markup=False,
            )
            return
        references = [item.reference for item in items]
        screen = CompareScreen(self.library, references, self.wanted, self.elsewhere)
        await self.app.push_screen(screen)

    @work
    async def action_sizes(self) -> None:
        """Every variant that is shown, by size and quality."""
        from gemmahub.tui.screens.sizes import SizesScreen

        shown = filtered(self._ordered, self.sort_filter.filter)
        found = [item.row.sized for item in shown]
        table = self.query_one(ModelTable)
        screen = SizesScreen(
            [each for each in found if each is not None], table.item.reference if table.item else ""
        )
        taken = await self.app.push_screen_wait(screen)
        if taken:
            self.unfold(taken)

    def action_duel(self) -> None:
        """One prompt to the two marked variants."""
        items = [i for i in self._marked() if i.row.installed and not i.row.obstacle]
        if len(items) != 2:
            self.notify(
                "a duel asks two models the same: x marks two that are here and can answer, then d",
                markup=False,
            )
            return
        self.post_message(OpenDuel(tuple(item.reference for item in items)))

    def _marked(self) -> list[Item]:
        marked = self.query_one(ModelTable).marked
        return [item for item in self._items if item.reference in marked]

    def chosen_installed(self) -> tuple[str, ...]:
        """References of the marked variants that are installed; else of the one under the
        cursor, none where it is not."""
        under_cursor = self.query_one(ModelTable).item
        items = self._marked() or ([] if under_cursor is None else [under_cursor])
        return tuple(item.reference for item in items if item.row.installed)

    @property
    def any_installed(self) -> bool:
        """Whether a model is on this machine, as far as that is known."""
        return self.overview is None or any(item.row.installed for item in self._items)

    def marked_installed(self) -> tuple[str, ...]:
        """References of the marked variants that are installed."""
        return tuple(item.reference for item in self._marked() if item.row.installed)

    def action_remove(self) -> None:
        """Say what would go from the disk, and ask."""
        from gemmahub.tui.screens.remove import RemoveScreen

        item = self.query_one(ModelTable).item
        if item is None or not item.row.installed:
            self.notify("that model is not on this machine", markup=False)
            return
        self.app.push_screen(RemoveScreen(self.library, item.row.variant.reference))

    @work
    async def action_what_if(self) -> None:
        """Another machine."""
        from gemmahub.tui.screens.what_if import WhatIfScreen

        elsewhere = await self.app.push_screen_wait(WhatIfScreen(self.library.config.hosts))
        if elsewhere is not None:
            self.rank_for(self.wanted, elsewhere)

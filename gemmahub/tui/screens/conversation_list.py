"""The kept conversations: search, open, rename, delete, export."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gemmahub.conversations import BrokenConversation, Match
from gemmahub.errors import GemmahubError
from gemmahub.text import one_line, plural
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import COPY_COMMAND, chats_command, copy_command
from gemmahub.tui.screens import chat_files
from gemmahub.tui.screens.dialogs import DIALOGS_CSS, ConfirmDialog, LineDialog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from gemmahub.conversations import ConversationStore

_DEBOUNCE_SECONDS = 0.1


class ConversationList(ModalScreen[str | None]):
    """Gives the id of the conversation to open."""

    CSS_PATH = DIALOGS_CSS
    CSS = """
    ConversationList {
        #rows { height: auto; min-height: 3; max-height: 60%; border: none; padding: 0;
                scrollbar-gutter: stable; scrollbar-size-vertical: 1;
                text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = named(
        "conversations",
        Binding("escape", "dismiss(None)", "Close"),
        Binding("down", "to_rows", "List", show=False),
        Binding("f2", "rename", "Rename"),
        Binding("f3", "export", "Export"),
        Binding("f8,delete", "delete", "Delete", priority=True),
        COPY_COMMAND,
    )

    def __init__(self, store: ConversationStore, current: str = "") -> None:
        super().__init__(classes="dialog")
        self._store = store
        self._current = current
        self._found: Sequence[Match | BrokenConversation] = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(Content("Conversations"), classes="dialog--title")
            yield Input(placeholder="search in all messages", id="words")
            yield OptionList(id="rows", markup=False)
            yield Static("", classes="dialog--error")
            yield Static("", classes="dialog--command")
            yield Static(
                Content("Enter opens · F2 title · F3 export · F8 delete · F9 copy command"),
                classes="dialog--keys",
            )

    def on_mount(self) -> None:
        """All of them at first."""
        self._look("")

    @on(Input.Changed, "#words")
    def _changed(self, event: Input.Changed) -> None:
        self.set_timer(_DEBOUNCE_SECONDS, lambda: self._look_if(event.value))

    def _look_if(self, words: str) -> None:
        if self.is_mounted and self.query_one("#words", Input).value == words:
            self._look(words)

    @work(thread=True, exclusive=True, exit_on_error=False, group="search")
    def _look(self, words: str) -> None:
        """Read the conversations: there may be many."""
        try:
            found: list[Match | BrokenConversation] = list(self._store.search(words))
            if not words.strip():
                found += [r for r in self._store.rows() if isinstance(r, BrokenConversation)]
        except GemmahubError as error:
            self.app.call_from_thread(self._tell, error.message)
            return
        self.app.call_from_thread(self._show, found)

    def _show(self, found: list[Match | BrokenConversation]) -> None:
        if not self.is_mounted:
            return
        rows = self.query_one("#rows", OptionList)
        place = rows.highlighted
        self._found = found
        rows.clear_options()
        rows.add_options([Option(self._row(entry), id=str(n)) for n, entry in enumerate(found)])
        if found:
            rows.highlighted = min(place or 0, len(found) - 1)
        self._tell("" if found else "nothing found")
        self._show_command()

    @on(OptionList.OptionHighlighted)
    def _show_command(self) -> None:
        line = self.query_one(".dialog--command", Static)
        line.update(Content(f"$ {one_line(self.command, 300)}"))

    @property
    def command(self) -> str:
        """The command that opens what is highlighted, else the one that lists the same."""
        entry = self._highlighted()
        if entry is not None:
            verb = "continue" if isinstance(entry, Match) else "rm"  # what Enter or F8 does
            return chats_command(verb, _id(entry))
        words = self.query_one("#words", Input).value.strip()
        return chats_command("list", *(("--search", words) if words else ()))

    def action_copy_command(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)

    def _row(self, entry: Match | BrokenConversation) -> Text:
        if isinstance(entry, BrokenConversation):
            return Text(
                f"✗ {one_line(entry.id)}\n  cannot be read: {one_line(entry.reason)}", style="dim"
            )
        row = entry.summary
        day = datetime.fromtimestamp(row.changed).strftime("%Y-%m-%d %H:%M")
        mark = "▸ " if row.id == self._current else "  "
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{mark}{one_line(row.title)}", "bold")
        damaged = f" · {plural(row.damaged, 'damaged line')}" if row.damaged else ""
        model = " · ".join(
            part for part in (row.short_precision, row.model or row.reference) if part
        )
        told = f"{day} · {plural(row.messages, 'turn')} · {model}{damaged}"
        text.append(f"\n  {one_line(told)}", "dim")
        if entry.excerpt and self.query_one("#words", Input).value.strip():
            text.append(f"\n  {one_line(entry.excerpt)}", "italic dim")
        return text

    def action_to_rows(self) -> None:
        """From the search into the list."""
        self.query_one("#rows", OptionList).focus()

    @on(Input.Submitted, "#words")
    def _open_first(self) -> None:
        self._open(self._highlighted())

    @on(OptionList.OptionSelected)
    def _open_selected(self, event: OptionList.OptionSelected) -> None:
        self._open(self._found[event.option_index])

    def _open(self, entry: Match | BrokenConversation | None) -> None:
        if isinstance(entry, Match):
            self.dismiss(entry.summary.id)
        elif entry is not None:
            self._tell(f"it cannot be opened: {entry.reason}; F8 deletes it ({entry.path})")

    @work
    async def action_rename(self) -> None:
        """Give the conversation another title."""
        entry = self._highlighted()
        if isinstance(entry, Match):
            command_for = partial(chats_command, "rename", entry.summary.id)
            dialog = LineDialog("Title", entry.summary.title, command_for=command_for)
            title = await self.app.push_screen_wait(dialog)
            if title is not None:
                self._change(lambda: self._store.rename(entry.summary.id, title))

    @work
    async def action_export(self) -> None:
        """Write the conversation to a file."""
        entry = self._highlighted()
        if entry is None:
            return
        id_ = _id(entry)
        try:
            path = await chat_files.export(self.app, lambda: self._store.load(id_))
        except GemmahubError as error:
            self._tell(f"{error.message}; {error.hint}")
        else:
            self._tell("" if path is None else f"written to {path}")

    @work
    async def action_delete(self) -> None:
        """Remove the conversation, after a question."""
        entry = self._highlighted()
        if entry is None:
            return
        id_ = _id(entry)
        if id_ == self._current:
            self._tell("this conversation is open: begin a new one first (Ctrl+N)")
            return
        name = entry.summary.title if isinstance(entry, Match) else entry.id
        question = f"Delete “{name}” for good?"
        dialog = ConfirmDialog(question, "Delete", chats_command("rm", id_))
        if await self.app.push_screen_wait(dialog):
            self._change(lambda: self._store.delete(id_))

    def _change(self, change: object) -> None:
        try:
            change()  # type: ignore[operator]
        except GemmahubError as error:
            self._tell(f"{error.message}; {error.hint}")
        else:
            self._look(self.query_one("#words", Input).value)

    def _highlighted(self) -> Match | BrokenConversation | None:
        place = self.query_one("#rows", OptionList).highlighted
        return self._found[place] if place is not None and place < len(self._found) else None

    def _tell(self, text: str) -> None:
        if self.is_mounted:
            self.query_one(".dialog--error", Static).update(Content(one_line(text, 500)))


def _id(entry: Match | BrokenConversation) -> str:
    return entry.summary.id if isinstance(entry, Match) else entry.id

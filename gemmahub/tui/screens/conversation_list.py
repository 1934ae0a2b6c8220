"""The kept conversations of all models: search, preview, open, rename, export, delete."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Input, OptionList, Static

from gemmahub.conversations import BrokenConversation, Match, SearchWords
from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import COPY_COMMAND, chats_command, copy_command
from gemmahub.tui.screens import chat_files
from gemmahub.tui.screens.dialogs import ConfirmDialog, LineDialog
from gemmahub.tui.widgets.conversation_preview import ConversationPreview, conversation_row
from gemmahub.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.timer import Timer

    from gemmahub.conversations import Described
    from gemmahub.service import Library
    from gemmahub.service.kept_model import KeptModel

_DEBOUNCE_SECONDS: Final = 0.1
_REST_SECONDS: Final = 0.06
_SOONER: Final = 100
"""Conversations that are shown before the rest is read."""
_MOST_ROWS: Final = 500
"""Rows of the list: who has more searches for what he wants."""
_SEARCH: Final = "search titles and messages; #duel, #270m search the tags"
_NONE: Final = (
    "No conversation is kept yet. What you ask a model, and what it answers, is kept here: to be "
    "found, read and continued later.\n\nEsc leads to the library; Enter on a model there talks to "
    "it."
)


class ConversationList(Screen[str | None]):
    """Gives the id of the conversation to open."""

    CSS_PATH = Path(__file__).with_name("conversations.tcss")
    AUTO_FOCUS = "#words"
    BINDINGS: ClassVar[list[BindingType]] = named(
        "conversations",
        Binding("escape", "dismiss(None)", "Back", key_display="esc"),
        Binding("down", "to_rows", "List", show=False),
        Binding("enter", "open", "Open", priority=True),  # else the search would take it
        Binding("f2", "rename", "Rename"),
        Binding("f3", "export", "Export"),
        Binding("f8,delete", "delete", "Delete", key_display="f8"),
        Binding("shift+pageup", "page(-1)", "Preview: page up", show=False),
        Binding("shift+pagedown", "page(1)", "Preview: page down", show=False),
        Binding("f1,question_mark", "app.keys", "Keys", key_display="f1"),
        COPY_COMMAND,
    )

    @dataclass
    class Found(Message):
        """What has these words; ``all_read``: among all conversations, not only the newest."""

        words: str
        entries: list[Match | BrokenConversation]
        all_read: bool

        def can_replace(self, message: Message) -> bool:
            """The newest answer is enough."""
            return isinstance(message, ConversationList.Found)

    @dataclass
    class Failed(Message):
        """Nothing can be read."""

        error: GemmahubError

    @dataclass
    class ModelLooked(Message):
        """What became of the model of a conversation."""

        key: tuple[str, str]
        found: KeptModel

    def __init__(self, library: Library, current: str = "") -> None:
        """``current`` is the id of the conversation that is open behind it."""
        super().__init__()
        self._library = library
        self._store = library.conversations
        self._current = current
        self._found: Sequence[Match | BrokenConversation] = ()
        self._words: tuple[str, ...] = ()
        self._models: dict[tuple[str, str], KeptModel] = {}
        self._resting: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static("Conversations", id="title", markup=False)
        yield Input(placeholder=_SEARCH, id="words", compact=True, select_on_focus=False)
        with Container(id="both"):
            with Vertical(id="list"):
                yield OptionList(id="rows", markup=False)
                yield Static(_NONE, id="none", markup=False)
            yield ConversationPreview()
        yield Static("", classes="dialog--error")
        yield Static("", classes="dialog--command")
        yield StatusLine()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """All of them at first."""
        self._look("")

    # --- what is found -------------------------------------------------------------------------

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
            if self._store.count() > 2 * _SOONER and not self._found:
                self.post_message(self.Found(words, [*self._store.search(words, _SOONER)], False))
            found: list[Match | BrokenConversation] = list(self._store.search(words))
            if not words.strip():
                found += [r for r in self._store.rows() if isinstance(r, BrokenConversation)]
        except GemmahubError as error:
            self.post_message(self.Failed(error))
            return
        self.post_message(self.Found(words, found, True))

    @on(Failed)
    def _failed(self, event: Failed) -> None:
        self._tell(event.error.in_full)

    @on(Found)
    def _show(self, event: Found) -> None:
        if event.words != self.query_one("#words", Input).value:
            return  # something else was typed meanwhile
        before, rows = self._highlighted(), self.query_one("#rows", OptionList)
        self._found, self._words = event.entries, SearchWords.of(event.words).words
        searched = bool(event.words.strip())
        shown = event.entries[:_MOST_ROWS]
        rows.clear_options()
        current = self._current
        rows.add_options(conversation_row(e, current, searched=searched) for e in shown)
        places = [n for n, entry in enumerate(shown) if before and _id(entry) == _id(before)]
        if shown:
            place = places[0] if places and not searched else 0
            rows.highlighted = min(place, len(shown) - 1)
        is_empty = not event.entries and not searched and event.all_read
        rows.display, self.query_one("#none").display = not is_empty, is_empty
        self.query_one(ConversationPreview).display = bool(event.entries)
        self._show_title(len(event.entries), searched=searched, all_read=event.all_read)
        self._tell("" if event.entries or not searched else "nothing has that in it: try less")
        self._moved()
        self.refresh_bindings()

    def _show_title(self, count: int, *, searched: bool, all_read: bool) -> None:
        of = f" · {count:,} found" if searched else f" · {count:,} kept" if count else ""
        more = "" if all_read else ", reading the others …"
        cut = f"; the first {_MOST_ROWS:,} are listed" if count > _MOST_ROWS else ""
        self.query_one("#title", Static).update(f"Conversations{of}{cut}{more}")

    # --- what is under the cursor --------------------------------------------------------------

    @on(OptionList.OptionHighlighted)
    def _moved(self) -> None:
        """The command at once; the preview when the cursor rests, since it takes longer."""
        line = self.query_one(".dialog--command", Static)
        line.update(Content(f"$ {one_line(self.command, 300)}"), layout=False)
        if self._resting is not None:
            self._resting.stop()
        self._resting = self.set_timer(_REST_SECONDS, self._show_highlighted)

    def _show_highlighted(self) -> None:
        if not self.is_mounted:
            return
        entry, note = self._highlighted(), ""
        if isinstance(entry, Match):
            held = entry.saved.described
            known = self._models.get(_key(held))
            note = known.note if known is not None else ""
            if known is None:
                self._look_at_model(held)
        self.query_one(ConversationPreview).show(entry, self._words, note)

    @work(thread=True, exclusive=True, exit_on_error=False, group="model")
    def _look_at_model(self, held: Described) -> None:
        from gemmahub.service.kept_model import kept_model

        self.post_message(self.ModelLooked(_key(held), kept_model(self._library, held)))

    @on(ModelLooked)
    def _model_looked(self, event: ModelLooked) -> None:
        self._models[event.key] = event.found
        if event.found.note:
            self._show_highlighted()

    @property
    def command(self) -> str:
        """The command that opens what is highlighted, else the one that lists the same."""
        entry = self._highlighted()
        if entry is not None:
            verb = "continue" if isinstance(entry, Match) else "rm"  # what Enter or F8 does
            return chats_command(verb, _id(entry))
        words = self.query_one("#words", Input).value.strip()
        return chats_command("list", *(("--search", words) if words else ()))

    # --- keys ----------------------------------------------------------------------------------

    def action_copy_command(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)

    def on_key(self, event: events.Key) -> None:
        """What is typed anywhere here is searched for."""
        entry = self.query_one("#words", Input)
        if event.is_printable and event.character and self.focused is not entry:
            event.stop()
            entry.focus()
            entry.insert_text_at_cursor(event.character)

    def action_to_rows(self) -> None:
        """From the search into the list."""
        self.query_one("#rows", OptionList).focus()

    def action_page(self, step: int) -> None:
        """A page of the preview."""
        preview = self.query_one(ConversationPreview)
        preview.scroll_relative(y=step * max(1, preview.size.height - 1), animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What needs a conversation is offered where there is one."""
        return action not in ("open", "rename", "export", "delete") or bool(self._found)

    @on(OptionList.OptionSelected)
    def action_open(self) -> None:
        """Go on with the conversation under the cursor."""
        entry = self._highlighted()
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

    def _change(self, change: Callable[[], object]) -> None:
        try:
            change()
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


def _key(held: Described) -> tuple[str, str]:
    return held.reference, held.precision

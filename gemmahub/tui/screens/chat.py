"""The chat screen: its parts, its keys, and what they do."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Button, Footer, Markdown, Static

from gemmahub.conversations import BATCH_SECONDS
from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.tui.commands import COPY_COMMAND, chats_command, copy_command
from gemmahub.tui.screens import chat_files
from gemmahub.tui.screens.chat_core import ChatCore
from gemmahub.tui.screens.chat_options import ChatOptions, ChatOptionsScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.screens.dialogs import LineDialog, TextDialog
from gemmahub.tui.widgets.chat_lines import ChatFigures, ChatTitle, Names
from gemmahub.tui.widgets.load_box import LoadBox
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.transcript import Transcript
from gemmahub.tui.widgets.turns import Answer, Question, Turn

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult
    from textual.widget import Widget

    from gemmahub.engines.contract import Settings
    from gemmahub.service import Gemmahub


class ChatScreen(ChatCore):
    """A transcript, an editor, and two lines that say what answers and how it goes."""

    CSS_PATH = Path(__file__).with_name("chat.tcss")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (50, "-normal")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (14, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop"),
        Binding("escape", "leave", "Leave"),
        Binding("ctrl+n", "new", "New"),
        Binding("ctrl+o", "conversations", "Chats"),
        Binding("ctrl+s", "options", "Options"),
        Binding("ctrl+r", "regenerate", "Again"),
        Binding("ctrl+g", "edit", "Edit"),
        Binding("f4", "copy", "Copy"),
        Binding("f1,question_mark", "app.keys", "Keys", key_display="f1"),
        Binding("f2", "rename", "Rename", show=False),
        Binding("f3", "export", "Export", show=False),
        Binding("f5", "load_again", "Load again", show=False),
        Binding("f8", "attach", "Attach an image", show=False),
        COPY_COMMAND,
        Binding("ctrl+up", "turn(-1)", "Turn before", show=False),
        Binding("ctrl+down", "turn(1)", "Turn after", show=False),
        Binding("shift+pageup", "page(-1)", "Page up", show=False),
        Binding("shift+pagedown", "page(1)", "Page down", show=False),
    ]

    def __init__(
        self,
        hub: Gemmahub,
        reference: str,
        settings: Settings | None = None,
        *,
        conversation: str | None = None,
    ) -> None:
        """``conversation`` is the id of a kept one to go on with."""
        super().__init__(hub, reference, settings)
        self._wanted = conversation
        self._leaving = False

    def compose(self) -> ComposeResult:
        yield ChatTitle()
        yield Transcript(id="transcript")
        yield LoadBox()
        yield Static(id="attached")
        yield PromptEditor(id="prompt")
        yield ChatFigures()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin the conversation, and load the model meanwhile."""
        self.query_one(ChatTitle).names = Names(self.reference)
        self._drawing = self.set_interval(BATCH_SECONDS, self.draw, pause=True)
        self.query_one(PromptEditor).focus()
        self._show_attached()
        if not self.open_conversation(self._wanted):
            self.open_conversation(None)
        self.load()
        self._fetch_history()

    @work(thread=True, exit_on_error=False, group="history")
    def _fetch_history(self) -> None:
        with suppress(GemmahubError):
            questions = self.hub.conversations.questions()
            self.app.call_from_thread(self.query_one(PromptEditor).set_history, questions)

    # --- asking --------------------------------------------------------------------------------

    @on(PromptEditor.Submitted)
    def _submitted(self, event: PromptEditor.Submitted) -> None:
        if not self._may_change():
            return
        if self.chat is not None:
            event.editor.remember(event.editor.take())
            self.ask(event.text)
            self._show_attached()
        elif self.is_loading and not self._waiting:
            event.editor.remember(event.editor.take())
            self._waiting = event.text
            self.notify("It is asked as soon as the model is loaded.")
        elif not self.is_loading:
            self.notify("No model is loaded: F5 loads it again.", severity="warning")

    def on_key(self, event: events.Key) -> None:
        """Any other key means that one stays."""
        if event.key != "escape":
            self._leaving = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What makes no sense now is not offered."""
        if action == "stop":
            return self.answering or self.is_loading
        if action == "leave":
            return not (self.answering or self.is_loading)
        return True

    def action_stop(self) -> None:
        """Stop the answer, or the load."""
        if self.chat is not None:
            self.chat.stop()
        elif self.is_loading:
            self.cancel_load()

    def action_leave(self) -> None:
        """Leave the chat: asked twice, since Esc also stops answers."""
        if not isinstance(self.focused, PromptEditor):
            self.query_one(PromptEditor).focus()
        elif self._leaving or self.running is None:
            self.dismiss()
        else:
            self._leaving = True
            self.notify("Esc once more leaves the chat; it is kept.", timeout=4)

    @on(PromptEditor.EndOfInput)
    def _end_of_input(self) -> None:
        self.dismiss()

    def action_load_again(self) -> None:
        """Load the model again, after a failure or with other settings."""
        if self._may_change():
            self.load()

    @on(Button.Pressed, "#load-again")
    def _load_again_pressed(self) -> None:
        self.action_load_again()
        self.query_one(PromptEditor).focus()

    # --- turns ---------------------------------------------------------------------------------

    def action_regenerate(self) -> None:
        """Answer again: the question of the focused turn, otherwise the last one."""
        question = self._question()
        if self._may_ask_again(question) and question is not None and self.chat is not None:
            self.begin(self.chat.resend(question.number))

    @work
    async def action_edit(self) -> None:
        """Change a question and ask it again; what followed it is replaced."""
        question = self._question()
        if not self._may_ask_again(question) or question is None:
            return
        title = "Ask again with another text; what followed it is replaced"
        text = await self.app.push_screen_wait(TextDialog(title, question.source))
        if text is not None and text.strip() and self.chat is not None and not self.answering:
            self.begin(self.chat.resend(question.number, text))

    def _may_ask_again(self, question: Question | None) -> bool:
        if not self._may_change():
            return False
        if question is None:
            self.notify("There is no question yet.", severity="warning")
        elif self.chat is None:
            self.notify("No model is loaded: F5 loads it again.", severity="warning")
        else:
            return True
        return False

    def _question(self) -> Question | None:
        """The question of the focused turn, otherwise the last one."""
        focused = self.focused
        last = focused.number if isinstance(focused, Turn) else 1 << 60
        asked = [turn for turn in self.query(Question) if turn.number <= last]
        return asked[-1] if asked else None

    def action_copy(self) -> None:
        """Copy the focused turn, otherwise the last answer; also over SSH (OSC 52)."""
        answers = list(self.query(Answer))
        turn = self.focused if isinstance(self.focused, Turn) else answers[-1] if answers else None
        if turn is None or not turn.source:
            self.notify("There is nothing to copy yet.", severity="warning")
            return
        self.app.copy_to_clipboard(turn.source)
        self.notify(f"Copied {len(turn.source):,} characters.")

    def action_copy_command(self) -> None:
        """Copy the command that does the same."""
        copy_command(self, self.command)

    def action_turn(self, step: int) -> None:
        """Go from turn to turn; below the last one is the editor."""
        turns: list[Widget] = list(self.query(Turn))
        focused = self.focused
        place = turns.index(focused) if focused in turns else len(turns)
        place = max(place + step, 0)
        if place < len(turns):
            turns[place].focus()
            self.query_one(Transcript).release_anchor()
        else:
            self.query_one(PromptEditor).focus()

    def action_page(self, step: int) -> None:
        """Scroll the transcript while writing."""
        transcript = self.query_one(Transcript)
        if step < 0:
            transcript.release_anchor()
            transcript.scroll_page_up(animate=False)
        else:
            transcript.scroll_page_down(animate=False)

    @on(Markdown.LinkClicked)
    def _link(self, event: Markdown.LinkClicked) -> None:
        """Where a model's link leads is not known: it is copied, not opened."""
        event.prevent_default()
        self.app.copy_to_clipboard(event.href)
        self.notify(f"Copied {one_line(event.href)}", markup=False)

    # --- conversations -------------------------------------------------------------------------

    def action_new(self) -> None:
        """Begin a new conversation with the same model."""
        if self._may_change():
            self.open_conversation(None)
            self.query_one(PromptEditor).focus()

    @work
    async def action_conversations(self) -> None:
        """Look at the kept conversations, and go on with one of them."""
        if not self._may_change():
            return
        here = self.journal.id
        id_ = await self.app.push_screen_wait(ConversationList(self.hub.conversations, here))
        if id_ is not None and id_ != here and self._may_change():
            self.open_conversation(id_)

    @work
    async def action_rename(self) -> None:
        """Give the conversation a title."""
        saved = self.journal.saved()
        command_for = partial(chats_command, "rename", saved.id) if self.journal.begun else None
        dialog = LineDialog("Title", saved.shown_title, command_for=command_for)
        title = await self.app.push_screen_wait(dialog)
        if title is not None:
            try:
                self.journal.set(title=one_line(title))
            except GemmahubError as error:
                self.complain(error)

    @work
    async def action_export(self) -> None:
        """Write the conversation to a file: Markdown, or JSON where its name says so."""
        if not self.journal.begun:
            self.notify("There is nothing to export yet.", severity="warning")
            return
        try:
            path = await chat_files.export(self.app, self.journal.saved)
        except GemmahubError as error:
            self.complain(error)
            return
        if path is not None:
            self.notify(f"Written to {path}", markup=False)

    @work
    async def action_options(self) -> None:
        """System prompt, sampling, context; another context loads the model again."""
        described = self.journal.saved().described
        options = ChatOptions(described.system, described.sampling, self.settings)
        chosen = await self.app.push_screen_wait(ChatOptionsScreen(options))
        if chosen is None or chosen == options:
            return
        try:
            self.journal.set(
                system=chosen.system, sampling=chosen.sampling, settings=chosen.settings
            )
        except GemmahubError as error:
            self.complain(error)
            return
        if chosen.settings != self.settings:
            self.settings = chosen.settings
            self.action_load_again()
        self.query_one(Transcript).show_command(self.command)

    def _may_change(self) -> bool:
        """Whether no answer is running; says so where one is."""
        if self.answering:
            self.notify("The answer is still running: Esc stops it.", severity="warning")
        return not self.answering

    # --- images --------------------------------------------------------------------------------

    @work
    async def action_attach(self) -> None:
        """Add an image to the next question, where the model takes images."""
        running = self.running
        if running is None or not running.takes_images:
            text = "This model takes no images here." if running else "No model is loaded yet."
            self.notify(text, severity="warning")
            return
        image = await chat_files.ask_image(self.app)
        if image is None:
            return
        if not self.images and running.image_note:
            self.notify(f"{running.image_note}.", markup=False)
        self.images.append(image)
        self._show_attached()

    def _show_attached(self) -> None:
        line = self.query_one("#attached", Static)
        line.display = bool(self.images)
        names = ", ".join(one_line(path.name) for path in self.images)
        line.update(Content(f"with {names}"))

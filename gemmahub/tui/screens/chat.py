"""The chat screen: its keys and dialogs."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import Button, Footer

from gemmahub.engines.contract import Settings
from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import COPY_COMMAND, chats_command, copy_command
from gemmahub.tui.screens import chat_files
from gemmahub.tui.screens.chat_copying import TurnCopier
from gemmahub.tui.screens.chat_options import ChatOptions, ChatOptionsScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.screens.dialogs import ConfirmDialog, LineDialog, TextDialog
from gemmahub.tui.screens.kept_chat import KeptChat
from gemmahub.tui.widgets.attached_images import AttachedImages
from gemmahub.tui.widgets.chat_lines import ChatFigures
from gemmahub.tui.widgets.chat_view import ChatView
from gemmahub.tui.widgets.prompt_editor import COMPLETES, PLACEHOLDER, PromptEditor
from gemmahub.tui.widgets.status_line import StatusLine
from gemmahub.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult

    from gemmahub.service import Library
    from gemmahub.tui.widgets.turns import Question


class ChatScreen(KeptChat):
    """What a person does in a chat; :class:`ChatView` has the model and the conversation."""

    CSS_PATH = Path(__file__).with_name("chat.tcss")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (50, "-normal")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (14, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = named(
        "chat",
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
        Binding("f10", "other_model", "Another model", show=False),
        Binding("ctrl+t", "think", "Think or not", show=False),
        Binding("ctrl+l", "thought", "Open the thought", show=False),
        Binding("f7", "attach", "Attach an image", show=False),
        Binding("f12", "keep_preset", "Keep as preset", show=False),
        COPY_COMMAND,
        Binding("ctrl+up", "turn(-1)", "Turn before", show=False),
        Binding("ctrl+down", "turn(1)", "Turn after", show=False),
        Binding("shift+pageup", "page(-1)", "Page up", show=False),
        Binding("shift+pagedown", "page(1)", "Page down", show=False),
    )

    def __init__(
        self,
        library: Library,
        reference: str,
        settings: Settings | None = None,
        *,
        conversation: str | None = None,
        read_first: bool = False,
    ) -> None:
        """``conversation`` is the id of a kept one to go on with; ``read_first`` loads the model
        with the first question."""
        super().__init__()
        self.library = library
        self._figures = ChatFigures()
        self.view = ChatView(library, reference, settings or Settings(), self._figures)
        self._wanted, self._read_first = conversation, read_first
        self._leaving = False
        self._copier = TurnCopier()

    def compose(self) -> ComposeResult:
        yield self.view
        yield AttachedImages(id="attached")
        yield PromptEditor(id="prompt")
        yield self._figures
        yield StatusLine()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin the conversation, and load the model meanwhile."""
        self.query_one(PromptEditor).focus()
        if not (opened := self.view.open(self._wanted)):
            self.view.open(None)
        if opened and self._read_first:
            self.read_first()
        else:
            self.view.load()
        self._fetch_history()

    @property
    def command(self) -> str:
        """The command that does the same."""
        return self.view.command

    @work(thread=True, exit_on_error=False, group="history")
    def _fetch_history(self) -> None:
        with suppress(GemmahubError):
            questions = self.library.conversations.questions()
            self.app.call_from_thread(self.query_one(PromptEditor).set_history, questions)

    @on(PromptEditor.Submitted)
    def _submitted(self, event: PromptEditor.Submitted) -> None:
        if not self.may_change():
            return
        loading = self.view.model.is_loading
        if self.view.chat is not None:
            event.editor.remember(event.editor.take())
            self.view.ask(event.text, self.query_one(AttachedImages).take())
        elif self.is_read_only and self.load_for(event.text):
            event.editor.remember(event.editor.take())
            self.view.waiting = event.text
            self.view.load()
        elif loading and not self.view.waiting:
            event.editor.remember(event.editor.take())
            self.view.waiting = event.text
            self.notify("It is asked as soon as the model is loaded.")
        elif not loading and not self.is_read_only:
            self.notify("No model is loaded: F5 loads it again.", severity="warning")

    @on(ChatView.GivenBack)
    def _given_back(self, event: ChatView.GivenBack) -> None:
        editor = self.query_one(PromptEditor)
        if not editor.text:
            editor.text = event.text
        if event.unkept is not None:
            self._offer_to_go_on(event.unkept)

    @on(ChatView.Joined)
    def _joined(self, event: ChatView.Joined) -> None:
        self.query_one(PromptEditor).placeholder = COMPLETES if event.plain else PLACEHOLDER

    @work
    async def _offer_to_go_on(self, error: GemmahubError) -> None:
        """A conversation that cannot be kept can still be held."""
        question = f"{one_line(error.message, 300)}. Go on without keeping this conversation?"
        if await self.app.push_screen_wait(ConfirmDialog(question, "Go on")):
            self.view.hold_unkept()
            self.query_one(PromptEditor).focus()

    def on_key(self, event: events.Key) -> None:
        """Any other key means that one stays."""
        if event.key != "escape":
            self._leaving = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What makes no sense now is not offered."""
        if action == "stop":
            return self.view.answering or self.view.model.is_loading
        if action == "leave":
            return not (self.view.answering or self.view.model.is_loading)
        return True

    def action_stop(self) -> None:
        """Stop the answer, or the load."""
        if self.view.chat is not None:
            self.view.chat.stop()
        elif self.view.model.is_loading:
            self.view.cancel_load()

    def action_leave(self) -> None:
        """Leave the chat: asked twice, since Esc also stops answers."""
        if not isinstance(self.focused, PromptEditor):
            self.query_one(PromptEditor).focus()
        elif self._leaving or self.view.model.running is None:
            self.dismiss()
        else:
            self._leaving = True
            self.notify("Esc once more leaves the chat; it is kept.", timeout=4)

    @on(PromptEditor.EndOfInput)
    def _end_of_input(self) -> None:
        self.dismiss()

    def action_load_again(self) -> None:
        """Load the model again, after a failure or with other settings."""
        if self.may_change():
            self.wake()
            self.view.load()

    @on(Button.Pressed, "#load-again")
    def _load_again_pressed(self) -> None:
        self.action_load_again()
        self.query_one(PromptEditor).focus()

    def action_regenerate(self) -> None:
        """Answer again: the question of the focused turn, otherwise the last one."""
        question = self._question_to_ask_again()
        if question is not None:
            self.view.resend(question.number)

    @work
    async def action_edit(self) -> None:
        """Change a question and ask it again; what followed it is replaced."""
        question = self._question_to_ask_again()
        if question is None:
            return
        title = "Ask again with another text; what followed it is replaced"
        text = await self.app.push_screen_wait(TextDialog(title, question.source))
        if text is not None and text.strip() and not self.view.answering:
            self.view.resend(question.number, text)

    def _question_to_ask_again(self) -> Question | None:
        """None where none can be asked now; says why."""
        if not self.may_change():
            return None
        question = self.query_one(Transcript).question_at(self.focused)
        if question is None:
            self.notify("There is no question yet.", severity="warning")
        return question

    def action_copy(self) -> None:
        """Copy the focused turn, otherwise the last answer; pressed again, its blocks of code."""
        turn = self.query_one(Transcript).turn_at(self.focused)
        if turn is None or not turn.source:
            self.notify("There is nothing to copy yet.", severity="warning")
        else:
            self._copier.copy(self, turn)

    def action_copy_command(self) -> None:
        """Copy the command that does the same."""
        copy_command(self, self.command)

    def action_turn(self, step: int) -> None:
        """Go from turn to turn; below the last one is the editor."""
        if not self.query_one(Transcript).focus_turn(self.focused, step):
            self.query_one(PromptEditor).focus()

    def action_page(self, step: int) -> None:
        """Scroll the transcript while writing."""
        self.query_one(Transcript).turn_page(step)

    def action_new(self) -> None:
        """Begin a new conversation with the same model."""
        if self.may_change():
            self.view.open(None)
            self.query_one(PromptEditor).focus()

    @work
    async def action_conversations(self) -> None:
        """Look at the kept conversations, and go on with one of them."""
        if not self.may_change():
            return
        here = self.view.journal.id
        id_ = await self.app.push_screen_wait(ConversationList(self.library, here))
        if id_ is not None and id_ != here and self.may_change():
            self.view.open(id_)

    @work
    async def action_rename(self) -> None:
        """Give the conversation a title."""
        journal = self.view.journal
        saved = journal.saved()
        command_for = (
            partial(chats_command, "rename", saved.id) if saved.id and journal.begun else None
        )
        dialog = LineDialog("Title", saved.shown_title, command_for=command_for)
        title = await self.app.push_screen_wait(dialog)
        if title is not None:
            self.view.change(title=one_line(title))

    @work
    async def action_export(self) -> None:
        """Write the conversation to a file: Markdown, or JSON where its name says so."""
        if not self.view.journal.begun:
            self.notify("There is nothing to export yet.", severity="warning")
            return
        try:
            path = await chat_files.export(self.app, self.view.journal.saved)
            if path is not None:
                self.notify(f"Written to {path}", markup=False)
        except GemmahubError as error:
            self.view.complain(error)

    @work
    async def action_options(self) -> None:
        """System prompt, sampling, tools, context; another context loads the model again."""
        described, conversation = self.view.journal.saved().described, self.view.conversation
        plain = self.view.chat is not None and self.view.chat.plain
        options = ChatOptions(
            described.system,
            described.sampling,
            self.view.model.settings,
            conversation.tools_file,
        )
        running = self.view.model.running
        served = running is not None and running.variant.served is not None
        form = ChatOptionsScreen(options, plain=plain, served=served)
        chosen = await self.app.push_screen_wait(form)
        if chosen is None or chosen == options:
            return
        if not self.view.change(
            system=chosen.system, sampling=chosen.sampling, settings=chosen.settings
        ):
            return
        conversation.tools_file = chosen.tools_file
        if chosen.settings != self.view.model.settings:
            self.view.model.settings = chosen.settings
            self.action_load_again()
        self.query_one(Transcript).show_command(self.command)

    @work
    async def action_attach(self) -> None:
        """Add an image to the next question, where the model takes images."""
        running = self.view.model.running
        if running is None or not running.takes_images:
            text = "This model takes no images here." if running else "No model is loaded yet."
            self.notify(text, severity="warning")
            return
        image = await chat_files.ask_image(self.app)
        if image is None:
            return
        attached = self.query_one(AttachedImages)
        if not attached.paths and running.image_note:
            self.notify(f"{running.image_note}.", markup=False)
        attached.add(image)

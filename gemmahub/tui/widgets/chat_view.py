"""The part of a chat that shows and owns: the model, the conversation, its transcript."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from textual import on
from textual.containers import Vertical
from textual.message import Message

from gemmahub.conversations import Described, MemoryJournal, Saved, shown_call
from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.tui.active_conversation import ActiveConversation
from gemmahub.tui.answer_feed import Pace, share_for
from gemmahub.tui.engine_loader import LoadStage, ModelLoaded, ModelLoadFailed, ModelSlot
from gemmahub.tui.messages import LibraryChanged
from gemmahub.tui.widgets.chat_lines import ChatFigures, ChatTitle, Names, names_of
from gemmahub.tui.widgets.load_box import LoadBox
from gemmahub.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from textual.app import ComposeResult

    from gemmahub.conversations import AnswerFinished, ChatEvent, ChatSession, Journal
    from gemmahub.engines.contract import Settings, ToolCall
    from gemmahub.service import Library, Running


SKIP: Final = "/skip"
"""Typed in place of a result: the next text is a question."""


class ChatView(Vertical):
    """A title, the turns, and what is told while a model is loaded."""

    @dataclass
    class GivenBack(Message):
        """A question was not asked: the model did not load, or, where ``unkept`` says why, it
        could not be kept."""

        text: str
        unkept: GemmahubError | None = None

    @dataclass
    class Joined(Message):
        """A model answers from now on; ``plain``: it completes texts."""

        plain: bool

    def __init__(
        self, library: Library, reference: str, settings: Settings, figures: ChatFigures
    ) -> None:
        """``figures`` tells elsewhere on the screen how an answer goes."""
        super().__init__()
        self.model = ModelSlot(self, library, reference, settings)
        described = Described(reference, settings=settings)
        self.conversation = ActiveConversation(library, library.conversations.new(described))
        self.answering = False
        self.waiting = ""
        self._asked = ""  # a question that is not kept yet
        self._again: int | None = None  # the question that is asked again once the model is there
        self._results: list[str] = []
        self._skipped: Sequence[ToolCall] = ()
        self._library = library
        self._figures = figures

    def compose(self) -> ComposeResult:
        yield ChatTitle()
        yield Transcript(id="transcript")
        yield LoadBox()

    def on_mount(self) -> None:
        """An empty conversation, before anything is loaded."""
        self.query_one(ChatTitle).names = Names(self.model.reference)

    def on_unmount(self) -> None:
        """Nothing stays in memory, and others may open the conversation."""
        self.conversation.leave()
        app = self.app  # the library shows how fast the model was, and what fits without it
        self.model.unload(then=lambda: app.post_message(LibraryChanged()))

    @property
    def journal(self) -> Journal | MemoryJournal:
        """The conversation as it is kept."""
        return self.conversation.journal

    @property
    def chat(self) -> ChatSession | None:
        """The conversation with the model; None while no model is loaded."""
        return self.conversation.session

    @property
    def command(self) -> str:
        """The command that does the same."""
        return self.conversation.command(self.model.reference, self.model.settings)

    def complain(self, error: GemmahubError) -> None:
        """Say what went wrong, and what to do about it."""
        text = one_line(error.message, 300)
        if error.hint:
            text += f"\n{one_line(error.hint, 300)}"
        self.notify(text, title="That did not work", severity="error", markup=False, timeout=10)

    # --- the conversation ----------------------------------------------------------------------

    def open(self, id_: str | None) -> bool:
        """Go on with a kept conversation, or begin a new one. False when it cannot be opened; the
        one that was there then stays."""
        store = self._library.conversations
        try:
            if id_ is not None:
                journal = store.open(id_)
            else:
                described = self.journal.saved().described
                journal = store.new(replace(described, settings=self.model.settings))
            conversation = ActiveConversation(self._library, journal, reopened=id_ is not None)
            messages = journal.saved().messages
        except GemmahubError as error:
            self.complain(error)
            return False
        self.conversation.leave()
        self.conversation = conversation
        self._results, self._skipped = [], ()
        self.query_one(Transcript).show(self.command, messages)
        running = self.model.running
        last = next((m.timings for m in reversed(messages) if m.timings), None)
        context = running.session.info.context if running else None
        self._figures.opened(last.context_used if last else None, context)
        if running is not None:
            self._join(running)
        return True

    def hold_unkept(self) -> None:
        """Go on with this conversation, and write nothing of it to the disk."""
        try:
            held = self.journal.saved()
        except GemmahubError:  # what was kept of it cannot be read
            held = Saved("", Described(self.model.reference, settings=self.model.settings))
        self.conversation.leave()
        journal = MemoryJournal(held.described, held.messages)
        self.conversation = ActiveConversation(self._library, journal)
        if self.model.running is not None:
            self._join(self.model.running)
        self.query_one(Transcript).tell("this conversation is not kept")

    def change(self, **values: Any) -> bool:
        """Change the title, or how the conversation is held; False when that cannot be kept."""
        try:
            self.journal.set(**values)
        except GemmahubError as error:
            self.complain(error)
            return False
        return True

    def _join(self, running: Running) -> None:
        """Model and conversation meet."""
        self.query_one(ChatTitle).names = names_of(running)
        transcript = self.query_one(Transcript)
        try:
            told, messages = self.conversation.join(running), self.journal.saved().messages
        except GemmahubError as error:
            self.complain(error)
            return
        if self.chat is not None:
            self.post_message(self.Joined(self.chat.plain))
            if self.chat.plain != transcript.plain:
                transcript.plain = self.chat.plain
                transcript.show(self.command, messages)
        transcript.tell(told)
        info = running.session.info
        on_host = info.device.upper().startswith("CPU")
        transcript.pace = Pace(share_for(info.settings.threads, os.cpu_count(), on_host=on_host))
        self._figures.change(context=info.context or 0)
        self._ask_for_result()

    # --- the model -----------------------------------------------------------------------------

    def load(self) -> None:
        """Load the model, instead of the one that is there."""
        self.conversation.detach()
        self.model.load()
        self.query_one(LoadBox).tell(f"loading {one_line(self.model.reference)}")
        self.screen.refresh_bindings()

    def unload(self) -> None:
        """Give the model's memory back; the conversation stays."""
        self.conversation.detach()
        self.model.unload()

    def cancel_load(self) -> None:
        """Stop loading; the conversation stays, and the model can be loaded later."""
        if self.model.cancel():
            self._not_loaded(None)

    def _not_loaded(self, error: GemmahubError | None) -> None:
        """Say why, and offer to try again; a question that waited is given back."""
        waiting, self.waiting = self.waiting, ""
        if waiting:
            self.post_message(self.GivenBack(waiting))
        self._again = None
        error = error or GemmahubError("loading was cancelled")
        self.query_one(LoadBox).fail(error, "The model is not loaded")
        self.screen.refresh_bindings()

    @on(LoadStage)
    def _stage(self, event: LoadStage) -> None:
        if self.model.is_loading:
            self.query_one(LoadBox).tell(event.stage, event.fraction)

    @on(ModelLoaded)
    def _loaded(self, event: ModelLoaded) -> None:
        """The model is there: a question that waited is asked now."""
        if not self.model.take(event):
            return
        self.query_one(LoadBox).done()
        self._join(event.running)
        waiting, self.waiting = self.waiting, ""
        again, self._again = self._again, None
        if waiting:
            self.ask(waiting)
        elif again is not None:
            self.resend(again)
        self.screen.refresh_bindings()

    @on(ModelLoadFailed)
    def _load_failed(self, event: ModelLoadFailed) -> None:
        if self.model.give_up(event):
            self._not_loaded(event.error)

    # --- an answer -----------------------------------------------------------------------------

    def ask(self, text: str, images: Sequence[Path] = ()) -> None:
        """Ask the model; the question is shown once it is kept. Where it waits for the results of
        tools, the text is one of them."""
        if self.chat is None:
            return
        try:
            open_calls = self.journal.saved().open_calls
        except GemmahubError as error:
            self.complain(error)
            return
        if open_calls and text.strip() == SKIP:
            self._skipped, self._results = open_calls, []
            self.query_one(Transcript).tell("")
        elif open_calls and open_calls != self._skipped:
            self._take_result(text, open_calls)
        else:
            self._asked = text
            self._read(self.chat.ask(text, images))

    def _take_result(self, text: str, calls: Sequence[ToolCall]) -> None:
        assert self.chat is not None
        self._results.append(text)
        if len(self._results) < len(calls):
            self._ask_for_result()
            return
        results = {call.id: result for call, result in zip(calls, self._results, strict=True)}
        self._results = []
        self.query_one(Transcript).tell("")
        self._read(self.chat.give_results(results))

    def _ask_for_result(self) -> None:
        """Say which result is typed next, where the model waits for some."""
        try:
            calls = self.journal.saved().open_calls
        except GemmahubError:  # said when something is typed
            return
        if calls and calls != self._skipped:
            call = shown_call(calls[len(self._results)])
            told = f"type the result of {call}; {SKIP} lets you ask something else"
            self.query_one(Transcript).tell(told)

    def resend(self, number: int, text: str | None = None) -> None:
        """Ask the question with that number again, with another text where one is given. Without
        a model it is loaded first."""
        if self.chat is not None:
            self._read(self.chat.resend(number, text))
        elif text is None and not self.model.is_loading:
            self._again = number
            self.load()

    def _read(self, answer: Generator[ChatEvent, None, None]) -> None:
        self.answering = True
        self._figures.wait()
        self.query_one(Transcript).read(answer)
        self.screen.refresh_bindings()

    @on(Transcript.Drawn)
    def _drawn(self, event: Transcript.Drawn) -> None:
        batch = event.batch
        if batch.asked is not None:
            self._asked = ""
            self._figures.started(batch.asked.text)
        if batch.piece is not None:
            self._figures.count(batch.piece)
        if batch.ended is not None:
            self._finished(batch.ended)

    def _finished(self, event: AnswerFinished) -> None:
        if event.timings is not None:
            self._figures.finished(event.timings)
        if event.unsaved is not None:
            self.complain(event.unsaved)
        if event.crashed and event.error is not None:
            self.unload()
            text = "The engine stopped; the conversation is kept"
            self.query_one(LoadBox).fail(event.error, text)

    @on(Transcript.AllDrawn)
    def _all_drawn(self, event: Transcript.AllDrawn) -> None:
        self.answering = False
        self._figures.waited()
        asked, self._asked = self._asked, ""
        if event.error is not None and asked:  # it did not get as far as the screen
            self.post_message(self.GivenBack(asked, event.error))
        elif event.error is not None:
            self.complain(event.error)
        self._ask_for_result()
        self.screen.refresh_bindings()

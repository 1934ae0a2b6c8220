"""What a chat does: loads a model, holds a conversation with it, draws what comes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import work
from textual.content import Content
from textual.widgets import Static

from gemmahub.conversations import Described, SavedMessage
from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.tui.answer_feed import ENOUGH, AnswerFeed, Batch, Pace, share_for
from gemmahub.tui.commands import chats_command, run_command
from gemmahub.tui.messages import LibraryChanged
from gemmahub.tui.screens.chat_model import ChatModel
from gemmahub.tui.widgets.chat_lines import ChatFigures, ChatTitle, Figures, names_of
from gemmahub.tui.widgets.load_box import LoadBox
from gemmahub.tui.widgets.transcript import Transcript
from gemmahub.tui.widgets.turns import Answer, Question, Turn, ending_text, turn_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from textual.timer import Timer

    from gemmahub.conversations import (
        AnswerDelta,
        AnswerFinished,
        AnswerStarted,
        ChatEvent,
        Journal,
    )
    from gemmahub.engines.contract import Settings
    from gemmahub.service import Gemmahub, Running

SHOWN_TURNS = 100
"""Turns of an old conversation that are drawn; the others are in its export."""

_PLAIN = (
    "This model has no chat template: it completes each prompt as plain text and remembers nothing."
)
_CHARACTERS_PER_TOKEN = 4  # a rough measure, until the engine has counted


class ChatCore(ChatModel):
    """A conversation and the model that answers in it.

    A thread reads the model and keeps what comes; a timer draws what was kept, so that the keyboard
    never waits for the model, nor the model for the screen.
    """

    journal: Journal
    _drawing: Timer

    def __init__(self, hub: Gemmahub, reference: str, settings: Settings | None = None) -> None:
        super().__init__(hub, reference, settings)
        self.images: list[Path] = []
        self._feed: AnswerFeed | None = None
        self._pace = Pace(ENOUGH)
        self._warned = False
        self._reopened = False

    @property
    def command(self) -> str:
        """The command that does the same."""
        try:
            described = self.journal.saved().described
        except GemmahubError:  # its file is gone
            described = Described(self.reference)
        if self._reopened:
            context = self.settings.context
            other = context is not None and context != described.settings.context
            words = ("--ctx-size", str(context)) if other else ()
            return chats_command("continue", self.journal.id, *words)
        return run_command(self.reference, self.settings, described.sampling, described.system)

    @property
    def answering(self) -> bool:
        """Whether an answer is running."""
        return self._feed is not None

    # --- the conversation ----------------------------------------------------------------------

    def open_conversation(self, id_: str | None) -> bool:
        """Go on with a kept conversation, or begin a new one. False when it cannot be opened; the
        one that was there then stays."""
        try:
            journal = self._journal(id_)
            saved = journal.saved()
        except GemmahubError as error:
            self.complain(error)
            return False
        self.leave_conversation()
        self.journal, self._warned, self._reopened = journal, False, id_ is not None
        self._show(saved.messages)
        if self.running is not None:
            self.join(self.running)
        return True

    def leave_conversation(self) -> None:
        """Others may open it now."""
        if self.chat is not None:
            self.chat.detach(close_journal=True)
            self.chat = None
        elif hasattr(self, "journal"):
            self.journal.close()

    def _journal(self, id_: str | None) -> Journal:
        store = self.hub.conversations
        if id_ is not None:
            return store.open(id_)
        before = self.journal.saved().described if hasattr(self, "journal") else None
        described = before or Described(self.reference)
        return store.new(replace(described, settings=self.settings))

    def _show(self, turns: tuple[SavedMessage, ...]) -> None:
        transcript = self.query_one(Transcript)
        transcript.remove_children()
        transcript.show_command(self.command)
        shown = turns[-SHOWN_TURNS:]
        if len(shown) < len(turns):
            text = f"{len(turns) - len(shown):,} earlier turns are not shown; F3 exports them all"
            transcript.mount(Static(Content(text), classes="transcript--earlier"))
        transcript.mount_all([turn_of(message) for message in shown])
        transcript.anchor()
        last = next((m.timings for m in reversed(turns) if m.timings), None)
        context = self.running.session.info.context if self.running else 0
        used = last.context_used if last else 0
        self.query_one(ChatFigures).figures = Figures(context_used=used, context=context)

    def join(self, running: Running) -> None:
        """Model and conversation meet."""
        self.query_one(ChatTitle).names = names_of(running)
        held = self.journal.saved()
        try:
            self.chat = self.hub.chat(running, self.journal)
        except GemmahubError as error:
            self.complain(error)
            return
        told = []
        if held.messages and held.described.reference != running.variant.reference:
            told.append(f"So far held with {held.described.answerer or held.described.reference}.")
        if self.chat.plain:
            told.append(_PLAIN)
        self.query_one(Transcript).tell(" ".join(told))
        info = running.session.info
        on_host = info.device.upper().startswith("CPU")
        self._pace = Pace(share_for(info.settings.threads, os.cpu_count(), on_host=on_host))
        line = self.query_one(ChatFigures)
        line.figures = replace(line.figures, context=info.context)

    _before = 0

    # --- an answer -----------------------------------------------------------------------------

    def ask(self, text: str) -> None:
        """Ask the model; the question is shown once it is kept."""
        if self.chat is not None:
            images, self.images = tuple(self.images), []
            self.begin(self.chat.ask(text, images))

    def begin(self, events: Generator[ChatEvent, None, None]) -> None:
        """Read an answer in a thread, and draw it as it comes."""
        feed = self._feed = AnswerFeed()
        line = self.query_one(ChatFigures)
        line.figures = replace(line.figures, waiting="reading the prompt", first_token=None)
        self.query_one(Transcript).anchor()
        self._drawing.resume()
        self.refresh_bindings()
        self._read(feed, events)

    @work(thread=True, exit_on_error=False, group="answer")
    def _read(self, feed: AnswerFeed, events: Generator[ChatEvent, None, None]) -> None:
        feed.read(events)

    async def draw(self) -> None:
        """Draw what has come since the last time."""
        feed = self._feed
        if feed is None or not self._pace.due():
            return
        batch = feed.take()
        if batch is not None:
            await self._draw_batch(batch)
        if feed.over and feed is self._feed:
            self._over(feed)

    def _over(self, feed: AnswerFeed) -> None:
        self._drawing.pause()
        self._feed = None
        line = self.query_one(ChatFigures)
        line.figures = replace(line.figures, waiting="")
        if feed.error is not None:
            self.complain(feed.error)
        self.refresh_bindings()

    async def _draw_batch(self, batch: Batch) -> None:
        if batch.asked is not None:
            await self._draw_asked(batch.asked)
            return
        answer = self._answer(batch.number)
        if answer is not None:
            await answer.append(batch.text)
        if batch.piece is not None:
            self._count(batch.piece)
        if batch.ended is not None:
            await self._draw_ended(batch.ended)

    def _answer(self, number: int) -> Answer | None:
        found = self.query(Answer)
        return next((turn for turn in reversed(found) if turn.number == number), None)

    async def _draw_asked(self, event: AnswerStarted) -> None:
        transcript = self.query_one(Transcript)
        gone = [turn for turn in self.query(Turn) if turn.number >= event.number]
        with self.app.batch_update():
            for turn in gone:
                await turn.remove()
            asked = SavedMessage("user", event.text, images=event.images, number=event.number)
            await transcript.mount_all([Question(asked), Answer(event.answer, event.answerer)])
        line = self.query_one(ChatFigures)
        used = line.figures.context_used + len(event.text) // _CHARACTERS_PER_TOKEN
        line.figures = replace(line.figures, context_used=used, about=True)
        self._before = used

    def _count(self, piece: AnswerDelta) -> None:
        line = self.query_one(ChatFigures)
        seconds = piece.seconds - piece.first_token_seconds
        line.figures = replace(
            line.figures,
            waiting="",
            speed=(piece.tokens - 1) / seconds if seconds > 0.2 else line.figures.speed,
            first_token=piece.first_token_seconds,
            context_used=min(self._before + piece.tokens, line.figures.context or 1 << 60),
        )

    async def _draw_ended(self, event: AnswerFinished) -> None:
        answer = self._answer(event.number)
        error = event.error
        told = ending_text(event.finish, error.message if error else "")
        if error is not None and error.hint and not event.crashed:
            told += f"; what to do: {error.hint}"
        parts = [str(event.timings) if event.timings else "", told]
        if answer is not None:
            note = " · ".join(part for part in parts if part)
            await answer.finish(one_line(note, 600), bad=error is not None)
        if event.timings is not None:
            self._show_timings(event)
        if event.unsaved is not None:
            self.complain(event.unsaved)
        if event.crashed and error is not None:
            self.unload()
            self.query_one(LoadBox).fail(error, "The engine stopped; the conversation is kept")

    def _show_timings(self, event: AnswerFinished) -> None:
        timings = event.timings
        assert timings is not None
        figures = Figures(
            speed=timings.tokens_per_second,
            first_token=timings.first_token_seconds,
            context_used=timings.context_used,
            context=timings.context,
        )
        self.query_one(ChatFigures).figures = figures
        if timings.truncated:
            text = "The prompt was longer than the context: its beginning was left out."
            self.notify(text, severity="warning", timeout=10)
        if figures.nearly_full and not self._warned:
            self._warned = True
            text = (
                f"{figures.context_text().capitalize()}. Begin a new chat with Ctrl+N, or load the "
                "model with a larger context: Ctrl+S."
            )
            self.notify(text, title="The context fills up", severity="warning", timeout=10)

    def on_unmount(self) -> None:
        """Nothing stays in memory, and others may open the conversation."""
        if self._feed is not None:
            self._feed.abandon()
        self.leave_conversation()
        app = self.app  # the library shows how fast the model was, and what fits without it
        self.unload(then=lambda: app.post_message(LibraryChanged()))

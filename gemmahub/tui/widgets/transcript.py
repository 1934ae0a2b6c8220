"""Where the turns of a conversation stand, and what stands with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Markdown, Static
from textual.widgets._toast import ToastRack

from gemmahub.conversations import BATCH_SECONDS, SavedMessage
from gemmahub.text import one_line
from gemmahub.tui.answer_feed import ENOUGH, AnswerFeed, Batch, Pace
from gemmahub.tui.widgets.thought import Thought
from gemmahub.tui.widgets.turns import Answer, Question, Turn, note_at_the_end, turns_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from textual.widget import Widget

    from gemmahub.conversations import AnswerFinished, AnswerStarted, ChatEvent
    from gemmahub.errors import GemmahubError

SHOWN_TURNS: Final = 100
"""Turns of an old conversation that are drawn; the others are in its export."""

_LONGEST: Final = 1000


class Transcript(VerticalScroll, can_focus=False):
    """The turns below the command that does the same, and the answer that is drawn as it comes.

    A thread reads the model and keeps what it says; a timer draws what was kept, so that the
    keyboard never waits for the model, nor the model for the screen. Short notices end where this
    ends, so that they cover neither the editor nor the footer.
    """

    DEFAULT_CSS = """
    Transcript {
        height: 1fr;
        scrollbar-size-vertical: 1;
        .transcript--command { height: auto; color: $text-muted; margin: 0 0 1 1; }
        .transcript--told { height: auto; color: $text-warning; margin: 0 0 1 1; }
        .transcript--earlier { height: auto; color: $text-muted; margin: 0 0 1 1; }
    }
    """
    ALLOW_MAXIMIZE: ClassVar = False

    @dataclass
    class Drawn(Message):
        """A part of the answer that is read is on the screen."""

        batch: Batch

    @dataclass
    class AllDrawn(Message):
        """The answer is over; ``error`` is why none could begin."""

        error: GemmahubError | None

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.pace = Pace(ENOUGH)
        self.plain = False  # answers are shown as they stand: their model writes no Markdown
        self._feed: AnswerFeed | None = None

    def on_mount(self) -> None:
        """Nothing is drawn before there is an answer."""
        self._drawing = self.set_interval(BATCH_SECONDS, self._draw_when_due, pause=True)

    def on_unmount(self) -> None:
        """The thread must not wait for a screen that is gone."""
        if self._feed is not None:
            self._feed.abandon()

    def on_resize(self) -> None:
        """Notices stay above what stands below this."""
        for rack in self.screen.query(ToastRack):
            below = max(self.screen.size.height - self.region.bottom, 0)
            rack.styles.margin = (0, 0, below, 0)

    # --- turns ---------------------------------------------------------------------------------

    def show_command(self, command: str) -> None:
        """The first line; the one that was there goes."""
        line = Static(Content(f"$ {one_line(command, _LONGEST)}"), classes="transcript--command")
        self.query(".transcript--command").remove()
        self.mount(line, before=0)

    def tell(self, text: str) -> None:
        """A lasting fact, as the last line for now; the one that was told before goes."""
        self.query(".transcript--told").remove()
        if text:
            self.mount(Static(Content(one_line(text, _LONGEST)), classes="transcript--told"))

    def show(self, command: str, messages: Sequence[SavedMessage]) -> None:
        """Another conversation, instead of the one that was there."""
        self.remove_children()
        self.show_command(command)
        shown = messages[-SHOWN_TURNS:]
        if len(shown) < len(messages):
            hidden = len(messages) - len(shown)
            text = f"{hidden:,} earlier turns are not shown; F3 exports them all"
            self.mount(Static(Content(text), classes="transcript--earlier"))
        self.mount_all(turns_of(shown, plain=self.plain))
        self.anchor()

    def question_at(self, focused: Widget | None) -> Question | None:
        """The question of the focused turn, otherwise the last one."""
        last = focused.number if isinstance(focused, Turn) else 1 << 60
        asked = [turn for turn in self.query(Question) if turn.number <= last]
        return asked[-1] if asked else None

    def turn_at(self, focused: Widget | None) -> Turn | None:
        """The focused turn, otherwise the last answer; None without one."""
        answers = list(self.query(Answer))
        return focused if isinstance(focused, Turn) else answers[-1] if answers else None

    def toggle_thought(self, focused: Widget | None) -> bool:
        """Open or fold the thought of the focused turn, otherwise the last one that there is;
        False where there is none."""
        answers = [turn for turn in self.query(Answer) if turn.thought]
        if isinstance(focused, Answer):
            answers = [turn for turn in answers if turn is focused]
        if answers:
            answers[-1].query_one(Thought).toggle()
        return bool(answers)

    def focus_turn(self, focused: Widget | None, step: int) -> bool:
        """Go from turn to turn; False below the last one."""
        turns: list[Widget] = [turn for turn in self.query(Turn) if turn.display]
        place = turns.index(focused) if focused in turns else len(turns)
        place = max(place + step, 0)
        if place >= len(turns):
            return False
        turns[place].focus()
        self.release_anchor()
        return True

    def turn_page(self, step: int) -> None:
        """Scroll by a page."""
        if step < 0:
            self.release_anchor()
            self.scroll_page_up(animate=False)
        else:
            self.scroll_page_down(animate=False)

    @on(Markdown.LinkClicked)
    def _link(self, event: Markdown.LinkClicked) -> None:
        """Where a model's link leads is not known: it is copied, not opened."""
        event.prevent_default()
        self.app.copy_to_clipboard(event.href)
        self.notify(f"Copied {one_line(event.href)}", markup=False)

    # --- an answer -----------------------------------------------------------------------------

    def read(self, events: Generator[ChatEvent, None, None]) -> None:
        """Read an answer in a thread, and draw it as it comes."""
        self._feed = AnswerFeed()
        self.anchor()
        self._drawing.resume()
        self._read(self._feed, events)

    @work(thread=True, exit_on_error=False, group="answer")
    def _read(self, feed: AnswerFeed, events: Generator[ChatEvent, None, None]) -> None:
        feed.read(events)

    async def _draw_when_due(self) -> None:
        feed = self._feed
        if feed is None or not self.pace.due():
            return
        batch = feed.take()
        if batch is not None:
            await self.draw(batch)
            self.post_message(self.Drawn(batch))
        if feed.over and feed is self._feed:
            self._drawing.pause()
            self._feed = None
            self.post_message(self.AllDrawn(feed.error))

    async def draw(self, batch: Batch) -> None:
        """Draw what has come since the last time."""
        if batch.asked is not None:
            await self._draw_started(batch.asked)
            return
        found = reversed(self.query(Answer))
        answer = next((turn for turn in found if turn.number == batch.number), None)
        if answer is not None:
            answer.think(batch.thought, batch.piece)
            await answer.append(batch.text)
            for call in batch.calls:
                await answer.call(call)
            if batch.ended is not None:
                await self._draw_finished(answer, batch.ended)

    async def _draw_started(self, event: AnswerStarted) -> None:
        gone = [turn for turn in self.query(Turn) if turn.number >= event.number]
        with self.app.batch_update():
            for turn in gone:
                await turn.remove()
            asked = [
                SavedMessage("tool", text, number=number, tool_call_id=call)
                for number, (call, text) in enumerate(event.results, event.number)
            ] or [SavedMessage("user", event.text, images=event.images, number=event.number)]
            begun = SavedMessage("assistant", "", model=event.answerer, number=event.answer)
            await self.mount_all(turns_of([*asked, begun], plain=self.plain))

    async def _draw_finished(self, answer: Answer, event: AnswerFinished) -> None:
        error = event.error
        told = error.message if error is not None and not event.crashed else ""  # else it is above
        note = note_at_the_end(event.timings, event.finish, told)
        if told and error is not None and error.hint:
            note += f"; what to do: {error.hint}"
        thought = event.timings.thought if event.timings else ""
        await answer.finish(one_line(note, 600), bad=error is not None, thought=thought)

"""One side of a duel: a variant that is loaded when it is its turn, and what it answers."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.conversations import AnswerDelta, AnswerFinished, Described
from gemmahub.errors import GemmahubError
from gemmahub.service.tag_parts import NO_PARTS
from gemmahub.tui.answer_feed import AnswerFeed
from gemmahub.tui.commands import run_command
from gemmahub.tui.duel_rounds import SideRound
from gemmahub.tui.widgets.chat_lines import Names, names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gemmahub.conversations import ChatEvent, ChatSession
    from gemmahub.engines.contract import Sampling, Settings
    from gemmahub.service import Library, Running


class DuelSide:
    """Filled by a thread, drawn by the screen: ``state`` in words, ``feed`` with the answer."""

    def __init__(
        self,
        library: Library,
        reference: str,
        settings: Settings,
        sampling: Sampling,
        against: Sequence[str] = (),
    ) -> None:
        """``against`` are the references of the other sides; the kept answers name them."""
        self.reference = reference
        self.state = "waits for a question"
        self.feed: AnswerFeed | None = None
        self.running: Running | None = None
        self.names = Names(reference)
        self.failed = False
        self.plain = False  # it completes texts
        self._library = library
        self._settings = settings
        self.command = run_command(reference, settings, sampling)
        """What asks this side alone."""
        described = Described(
            reference, settings=settings, sampling=sampling, against=tuple(against)
        )
        self._journal = library.conversations.new(described)
        self._chat: ChatSession | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._busy = False
        self._closed = False
        self._then: Callable[[], object] | None = None
        self._crashed = False
        self.rounds: list[SideRound] = []
        """What it gave, question by question."""
        self.speed: float | None = None
        """Tokens a second, of the answer that runs or was the last."""

    @property
    def is_going(self) -> bool:
        """Whether its thread may still tell something, or something of it is not drawn."""
        return self._busy or (self.feed is not None and not self.feed.over)

    def prepare(self) -> None:
        """Before its thread begins."""
        self._stopping.clear()
        self.feed = AnswerFeed()
        self.state, self.failed, self.speed = "waiting", False, None

    def answer(self, texts: Sequence[str], *, keep: bool, alone: bool = False) -> None:
        """Load where nothing is loaded, answer, and give the memory back unless it is to
        ``keep`` it. Called in a thread; what goes wrong is told by ``state``. With ``alone`` the
        model sees each text as if nothing had been said before."""
        feed, expected = self.feed, len(self.rounds) + len(texts)
        with self._lock:
            if self._closed or feed is None:
                return
            self._busy = True
        try:
            self._answer(feed, texts, keep=keep, alone=alone)
        except GemmahubError as error:
            self.failed = not self._stopping.is_set()
            self.state = f"{error.message}; {error.hint}" if error.hint else error.message
        finally:
            while len(self.rounds) < expected:  # one that never began
                self.rounds.append(SideRound())
            feed.read(())  # also an answer that never began is over
            with self._lock:
                self._busy = False
                closed = self._closed
            if closed:
                self._let_go()
            elif not keep or self._crashed:
                self.unload()

    def stop(self) -> None:
        """Stop loading or answering."""
        self._stopping.set()
        if self._chat is not None:
            self._chat.stop()

    def unload(self) -> None:
        """Give the memory back; the conversation goes on with the next question."""
        chat, self._chat = self._chat, None
        running, self.running = self.running, None
        if chat is not None:
            chat.detach()
        if running is not None:
            running.session.close()
        self._crashed = False

    def close(self, then: Callable[[], object] | None = None) -> None:
        """Stop, and let go of everything; ``then`` is called when that is done."""
        with self._lock:
            self._closed, self._then = True, then
            busy = self._busy
        self.stop()
        if self.feed is not None:
            self.feed.abandon()
        if not busy:  # else its thread lets go
            self._let_go()

    def _let_go(self) -> None:
        self.unload()
        self._journal.close()
        if self._then is not None:
            self._then()

    def _answer(self, feed: AnswerFeed, texts: Sequence[str], *, keep: bool, alone: bool) -> None:
        if not self._stopping.is_set():
            chat = self._loaded(alone=not keep)
            feed.read(self._watched(self._events(chat, texts, alone=alone)))
        if feed.error is not None:
            raise feed.error
        if not self.failed:
            self.state = "stopped" if self._stopping.is_set() else "answered"

    def _events(
        self, chat: ChatSession, texts: Sequence[str], *, alone: bool
    ) -> Iterator[ChatEvent]:
        for number, text in enumerate(texts, 1):
            if self._stopping.is_set() or self._crashed:
                return
            self.state = "answers" if len(texts) == 1 else f"answers {number} of {len(texts)}"
            yield from chat.ask_alone(text) if alone else chat.ask(text)

    def _watched(self, events: Iterable[ChatEvent]) -> Iterator[ChatEvent]:
        for event in events:
            if isinstance(event, AnswerDelta):
                seconds = event.seconds - event.first_token_seconds
                self.speed = (event.tokens - 1) / seconds if seconds > 0.2 else self.speed
            elif isinstance(event, AnswerFinished):
                timings = event.timings
                self.speed = (timings.tokens_per_second if timings else None) or self.speed
                complete = event.error is None and event.finish != "cancelled"
                self.rounds.append(SideRound(event.number, timings, complete))
                if event.error is not None:
                    self._crashed, self.failed = event.crashed, True
                    more = "; the next question loads it again" if event.crashed else ""
                    self.state = f"{event.error.message}{more}"
            yield event

    def _loaded(self, *, alone: bool) -> ChatSession:
        if self._chat is None:
            self.running = self._library.load(
                self.reference,
                self._settings,
                on_stage=self._tell,
                on_progress=lambda fraction: self._tell(f"loading, {fraction:.0%}"),
                cancelled=self._stopping.is_set,
                alone=alone,
            )
            self.names = names_of(self.running)
            # What a tag brings besides weights would be a difference that is none of the variants.
            self._chat = replace(self.running, tag=NO_PARTS).chat(self._journal)
            self.plain = self._chat.plain
        return self._chat

    def _tell(self, state: str) -> None:
        self.state = state

"""A conversation with a loaded model, whoever shows it and whether or not it is kept."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gemmahub.conversations.chat_events import AnswerDelta, AnswerFinished, AnswerStarted
from gemmahub.conversations.memory_journal import MemoryJournal
from gemmahub.conversations.records import Described, Saved, SavedMessage
from gemmahub.conversations.turns import check_results, seen_by_the_model
from gemmahub.engines.contract import ChunkKind, Message, Sampling
from gemmahub.errors import BackendCrashed, GemmahubError, UsageError
from gemmahub.text import StreamStripper

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from gemmahub.conversations.chat_events import ChatEvent
    from gemmahub.conversations.journal import Journal
    from gemmahub.engines.contract import Chunk, Prompt, Session, ToolCall, Usage

COMPLETION_TOKENS: Final = 256
"""A model without a chat template rarely ends by itself."""

BATCH_SECONDS: Final = 0.05
"""A screen is told of tokens about twenty times a second, however fast the model is."""


class ChatSession:
    """A loaded model, and the conversation that is held with it.

    The journal is the truth: before each question the model's view is made from it, so that a
    question can be asked again after a crash, after a restart, and with another model. One answer
    at a time, read in one thread; :meth:`stop`, :meth:`detach` and :meth:`close` come from any
    other, or from a signal.
    """

    def __init__(
        self,
        session: Session,
        journal: Journal | MemoryJournal | None = None,
        *,
        system: str | None = None,
        sampling: Sampling | None = None,
        raw: bool = False,
        batch_seconds: float = BATCH_SECONDS,
        first: Sequence[Message] = (),
    ) -> None:
        """Without a ``journal`` the conversation is forgotten with this object, and ``system`` and
        ``sampling`` are those of all its questions; otherwise each question takes what the journal
        has. With ``raw`` prompts are completed as plain text. An answer is handed on in pieces of
        ``batch_seconds``; with 0 each token at once. ``first`` are turns that the model sees before
        the conversation, which are no part of it."""
        self.session = session
        described = Described("", sampling=sampling or Sampling(), system=system or "")
        self.journal: Journal | MemoryJournal = journal or MemoryJournal(described)
        self.plain: Final = raw or not session.info.chat_template
        """Whether prompts are completed as plain text, and nothing is remembered."""
        self._batch_seconds = batch_seconds
        self._first = tuple(first)
        self._lock = threading.RLock()  # a signal may find this thread in it
        self._answering = False
        self._stopping = False
        self._detached = False
        self._left = False

    def ask(
        self, text: str, images: Sequence[Path] = (), audio: Sequence[Path] = ()
    ) -> Generator[ChatEvent, None, None]:
        """Ask, and hand on the answer. Raises: GemmahubError when nothing can be kept; all that
        goes wrong later is told by the last event."""
        self._demand_model()
        files = SavedMessage("user", text, images=_texts(images), audio=_texts(audio))
        yield from self._answer(self.journal.saved(), (files,))

    def ask_alone(self, text: str) -> Generator[ChatEvent, None, None]:
        """As :meth:`ask`; the model sees nothing of what was said before."""
        self._demand_model()
        yield from self._answer(
            replace(self.journal.saved(), messages=()), (SavedMessage("user", text),)
        )

    def give_results(self, results: Mapping[str, str]) -> Generator[ChatEvent, None, None]:
        """Go on with what the tools gave that the last answer called: a text for the id of each.

        Raises: UsageError for one that is missing, or of no call; otherwise as :meth:`ask`.
        """
        self._demand_model()
        saved = self.journal.saved()
        check_results(saved, results)
        given = [SavedMessage("tool", results[c.id], tool_call_id=c.id) for c in saved.open_calls]
        yield from self._answer(saved, given)

    def resend(self, number: int, text: str | None = None) -> Generator[ChatEvent, None, None]:
        """Ask the question with that number again, with another text where one is given. It and
        everything after it are replaced.

        Raises: UsageError when there is no such question; GemmahubError as :meth:`ask`.
        """
        self._demand_model()
        saved = self.journal.saved()
        asked = next((m for m in saved.messages if m.number == number and m.role == "user"), None)
        if asked is None:
            raise UsageError("there is no question to ask again", "ask a question first")
        before = tuple(message for message in saved.messages if message.number < number)
        self.journal.cut(number)
        said = asked if text is None else replace(asked, text=text)
        yield from self._answer(replace(saved, messages=before), (said,), again=True)

    def regenerate(self) -> Generator[ChatEvent, None, None]:
        """Answer the last question again. Raises: as :meth:`resend`."""
        asked = [m.number for m in self.journal.saved().messages if m.role == "user"]
        yield from self.resend(asked[-1] if asked else -1)

    def stop(self) -> None:
        """Stop the running answer; its last event still comes."""
        with self._lock:
            if not self._answering:
                return
            self._stopping = True
        self.session.cancel()

    def detach(self, *, close_journal: bool = False) -> None:
        """Model and conversation go their own ways, both stay usable. A running answer is stopped,
        and its end is still kept; after that the journal is closed where that is wanted."""
        with self._lock:
            self._detached = True
            self._left = self._left or close_journal
            answering = self._answering
        if answering:
            with suppress(GemmahubError):  # an engine that is gone has stopped
                self.session.cancel()
        elif close_journal:
            self.journal.close()

    def close(self) -> None:
        """Close the conversation, and give the model's memory back; twice is fine."""
        self.detach(close_journal=True)
        self.session.close()

    def _demand_model(self) -> None:
        if self._detached:
            raise BackendCrashed("the model is not loaded", "load it again")

    def _answer(
        self, before: Saved, asked: Sequence[SavedMessage], *, again: bool = False
    ) -> Generator[ChatEvent, None, None]:
        """The answer to a question, or to the results of tools."""
        described = before.described
        number, *_ = [
            self.journal.add(turn.role, turn.text, turn.images, turn.audio, turn.tool_call_id)
            for turn in asked
        ]
        with self._lock:
            self._answering, self._stopping = True, False
        try:
            answer = _Answer(self.journal, described.answerer, self._batch_seconds)
            results = tuple((t.tool_call_id, t.text) for t in asked if t.role == "tool")
            said = ("", ()) if results else (asked[0].text, asked[0].images)
            yield AnswerStarted(number, *said, answer.number, described.answerer, results)
            try:
                # Plain completion answers again what was asked with images before, without them.
                prompt = self._prompt(before, asked, again=again)
                for chunk in self.session.generate(prompt, self._sampling(described.sampling)):
                    if self._stopping or self._detached:  # it came before there was one to stop
                        self._stopping = False
                        self.session.cancel()
                    if (delta := answer.take(chunk)) is not None:
                        yield delta
            except GemmahubError as error:
                answer.error = error
            yield answer.finished(detached=self._detached)
        finally:
            with self._lock:
                self._answering = False
                left = self._left
            if left:
                self.journal.close()

    def _sampling(self, sampling: Sampling) -> Sampling:
        sampling = replace(sampling, thinking=sampling.thinking or False)  # only where it is asked
        if self.plain and sampling.max_tokens is None:
            return replace(sampling, max_tokens=COMPLETION_TOKENS)
        return sampling

    def _prompt(self, before: Saved, turns: Sequence[SavedMessage], *, again: bool) -> Prompt:
        """Raises: UsageError for images and sounds that cannot be asked about."""
        system, asked = before.described.system, turns[0]
        if not self.plain:
            first = ([Message("system", system)] if system else []) + [*self._first]
            results = asked.role == "tool"
            seen = seen_by_the_model(before.messages, with_open=results)
            return (*first, *seen, *(turn.as_message() for turn in turns))
        for kind, files in (("images", asked.images), ("audio", asked.audio)):
            if files and not again:
                raise UsageError(
                    f"a model without a chat template accepts no {kind}", f"leave out the {kind}"
                )
        return f"{system}\n\n{asked.text}" if system else asked.text


def _texts(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(map(str, paths))


class _Answer:
    """Collects chunks into batches, and keeps each before it is handed on."""

    def __init__(
        self, journal: Journal | MemoryJournal, answerer: str, batch_seconds: float
    ) -> None:
        self._journal = journal
        self._batch_seconds = batch_seconds
        self.number = journal.begin_answer(answerer)
        self._stripper, self._thought_stripper = StreamStripper(), StreamStripper()
        self._started = self._handed = perf_counter()
        self._first = 0.0
        self._tokens = 0
        self._answered = False
        self._held: list[str] = []
        self._held_thought: list[str] = []
        self._thinking: tuple[float, float] | None = None  # from when to when
        self._usage: Usage | None = None
        self._unsaved: GemmahubError | None = None
        self.error: GemmahubError | None = None

    def take(self, chunk: Chunk) -> AnswerDelta | None:
        """More of the answer when it is due."""
        now = perf_counter()
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.prompt_read is not None:
            seconds = now - self._started
            return AnswerDelta(self.number, "", 0, seconds, 0.0, prompt_read=chunk.prompt_read)
        if chunk.tool_call is not None:
            return self._called(chunk.tool_call, now)
        if chunk.text and chunk.kind in (ChunkKind.ANSWER, ChunkKind.REASONING):
            self._first = self._first or now - self._started
            self._tokens += 1
            if chunk.kind is ChunkKind.REASONING:
                self._held_thought.append(chunk.text)
                self._thinking = (self._thinking[0] if self._thinking else now, now)
            else:
                if self._thinking and not self._answered:
                    self._thinking = (self._thinking[0], now)
                self._answered = True
                self._held.append(chunk.text)
        held = self._held or self._held_thought
        if not held or now - self._handed < self._batch_seconds:
            return None
        self._handed = now
        text, thought = self._shown()
        return AnswerDelta(
            self.number, text, self._tokens, now - self._started, self._first, thought
        )

    def _called(self, call: ToolCall, now: float) -> AnswerDelta:
        self._first = self._first or now - self._started
        self._handed = now
        text, thought = self._shown()
        self._keep(partial(self._journal.call, self.number, call))
        seconds = now - self._started
        return AnswerDelta(self.number, text, self._tokens, seconds, self._first, thought, call)

    def finished(self, *, detached: bool) -> AnswerFinished:
        """The last event."""
        text, thought = self._shown()
        text, thought = text + self._stripper.finish(), thought + self._thought_stripper.finish()
        if detached and isinstance(self.error, BackendCrashed):
            self.error = None  # the engine went because the conversation was left
            finish = "cancelled"
        elif self.error is not None:
            finish = "error"
        else:
            finish = "stop" if self._usage is None else str(self._usage.finish_reason)
        ended = AnswerFinished(self.number, text, finish, self._usage, self._first, self.error)
        seconds = None if self._thinking is None else self._thinking[1] - self._thinking[0]
        ended = ended._replace(thought=thought, reasoning_seconds=seconds)
        said = "" if self.error is None else self.error.message
        try:
            self._journal.end_answer(self.number, finish, ended.timings, said)
        except GemmahubError as error:
            self._unsaved = error
        return ended._replace(unsaved=self._unsaved)

    def _shown(self) -> tuple[str, str]:
        """What is held of the answer and of the thought, kept and harmless."""
        text, thought = "".join(self._held), "".join(self._held_thought)
        self._held.clear()
        self._held_thought.clear()
        self._keep(partial(self._journal.part, self.number, text, thought))
        return self._stripper.feed(text), self._thought_stripper.feed(thought)

    def _keep(self, write: Callable[[], None]) -> None:
        """A disk that is full must not end an answer that somebody reads."""
        if self._unsaved is None:
            try:
                write()
            except GemmahubError as error:
                self._unsaved = error

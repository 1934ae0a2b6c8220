"""From the thread that reads a model to the screen that draws it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Final

from gemmahub.conversations import (
    BATCH_SECONDS,
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatEvent,
)
from gemmahub.errors import GemmahubError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import ToolCall

LIMIT: Final = 200
"""Characters drawn at once: more would make a key wait for more than 50 ms."""

FARTHEST_BEHIND: Final = 50_000
"""Characters that may wait to be drawn; then the model waits for the screen."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is drawn at once: a question, or more ``text`` of an answer after more of its
    ``thought``, then ``calls`` of tools, and perhaps its end."""

    asked: AnswerStarted | None = None
    number: int = 0
    text: str = ""
    piece: AnswerDelta | None = None
    ended: AnswerFinished | None = None
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()


class AnswerFeed:
    """Filled by one thread with :meth:`read`, emptied by the screen with :meth:`take`."""

    def __init__(self) -> None:
        self.error: GemmahubError | None = None
        self._events: deque[ChatEvent] = deque()
        self._read = 0
        self._taken = 0
        self._room = threading.Event()
        self._done = threading.Event()
        self._abandoned = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._done.is_set() and not self._events

    def read(self, events: Iterable[ChatEvent]) -> None:
        """Take events to the end; an error that begins no answer is kept in ``error``."""
        try:
            for event in events:
                if not isinstance(event, AnswerStarted):
                    self._read += len(event.text) + len(event.thought)
                self._events.append(event)
                while self._read - self._taken > FARTHEST_BEHIND and not self._abandoned:
                    self._room.wait(BATCH_SECONDS)
                    self._room.clear()
        except GemmahubError as error:
            self.error = error
        finally:
            self._done.set()

    def abandon(self) -> None:
        """Nobody draws any more: the thread must not wait for room."""
        self._abandoned = True
        self._room.set()

    def take(self, limit: int = LIMIT) -> Batch | None:
        """What is drawn next, at most ``limit`` characters; None: there is nothing now."""
        if not self._events:
            return None
        first = self._events[0]
        if isinstance(first, AnswerStarted):
            self._events.popleft()
            return Batch(asked=first)
        text, thought = "", ""
        calls: list[ToolCall] = []
        piece: AnswerDelta | None = None
        ended: AnswerFinished | None = None
        while self._events and limit > 0 and ended is None:
            event = self._events.popleft()
            if isinstance(event, AnswerStarted):
                self._events.appendleft(event)
                break
            thought += event.thought[:limit]
            room = max(limit - len(event.thought), 0)
            text += event.text[:room]
            if len(event.thought) + len(event.text) > limit:
                rest = event._replace(thought=event.thought[limit:], text=event.text[room:])
                self._events.appendleft(rest)
            elif isinstance(event, AnswerDelta) and event.call is not None:
                calls.append(event.call)
            elif isinstance(event, AnswerFinished):
                ended = event
            limit -= len(event.thought) + len(event.text)
            piece = event if isinstance(event, AnswerDelta) else piece
        self._taken += len(text) + len(thought)
        self._room.set()
        return Batch(
            number=first.number,
            text=text,
            piece=piece,
            ended=ended,
            thought=thought,
            calls=tuple(calls),
        )


class Pace:
    """When to draw: about twenty times a second, less often where drawing would take too large a
    share of the processor from an engine that needs all of it.

    The cost of a drawing is the time that this thread has computed until the next one is due.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._computed = thread_time()
        self._drawn = 0.0

    def due(self) -> bool:
        """Whether to draw now; a yes counts as drawn."""
        now, computed = monotonic(), thread_time()
        cost = computed - self._computed
        if now - self._drawn < min(cost / self._share, SLOWEST_SECONDS):
            return False
        self._drawn, self._computed = now, computed
        return True


SLOWEST_SECONDS: Final = 0.5
"""A reader should see text arrive, whatever it costs."""

ENOUGH: Final = 0.3
SCARCE: Final = 0.015


def share_for(threads: int | None, processors: int | None, *, on_host: bool) -> float:
    """The part of one processor that drawing may take: little where the engine's threads have all
    processors, because each of them waits for the slowest."""
    if not on_host:
        return ENOUGH
    return SCARCE if (threads or processors or 1) >= (processors or 1) else ENOUGH

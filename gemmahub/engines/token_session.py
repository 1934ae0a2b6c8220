"""A session for engines that give one token after the other: the part that is the same for all.

Thoughts, stop texts, whole characters, limits, cancelling, closing, usage and times are here; the
engine's own two methods turn a prompt into tokens, and tokens into more of them.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import (
    Chunk,
    ChunkKind,
    FinishReason,
    PromptRead,
    SessionBase,
    Usage,
)
from gemmahub.engines.prompt_length import check_count, check_text
from gemmahub.engines.sampling import check_sampling
from gemmahub.engines.template_process import TemplateRenderer
from gemmahub.engines.text_stream import TextStream
from gemmahub.engines.thoughts import ThoughtStream, joined
from gemmahub.engines.tool_calls import with_calls
from gemmahub.errors import Cancelled, GenerationFailed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from gemmahub.engines.contract import Prompt, Sampling, SessionInfo


class TokenSession(SessionBase, ABC):
    """Write :meth:`encode` and :meth:`tokens`; override ``close`` where there is memory to free.

    One answer at a time, and beginning a new one ends the one before; ``parallel`` True lets
    several run at once. ``cancelled`` is set while what runs shall stop; it is looked at between
    two tokens, and an engine that computes for longer than 200 ms without giving one looks at it
    itself. ``lock`` is held while a prompt is encoded and while a token is computed, not while the
    caller holds a chunk: who frees memory in ``close`` takes it, after ``super().close()``.
    ``renderer`` is the process for the model's chat template, which starts when it is used; a
    cancel ends what it renders.
    """

    def __init__(self, info: SessionInfo) -> None:
        if info.context is None:
            raise TypeError("a token engine must state its context")
        self.info = info
        self.cancelled = threading.Event()
        self.lock = threading.Lock()
        self.renderer = TemplateRenderer(self.cancelled)
        self.parallel = False
        self._closed = False
        self._answer: object = None
        self._running = 0

    @abstractmethod
    def encode(self, prompt: Prompt) -> Sequence[Any]:
        """The tokens of a prompt, in whatever form :meth:`tokens` wants them.

        Raises: TemplateError, GenerationFailed; Cancelled when it stopped because of a cancel.
        """

    @abstractmethod
    def tokens(
        self, prompt: Sequence[Any], sampling: Sampling
    ) -> Generator[bytes | PromptRead, None, FinishReason | None]:
        """The text of each next token, in bytes of UTF-8, until the model ends its turn.

        The first one comes after the prefill, in which an engine that computes a long prompt in
        parts may tell after each of them, but the last, how much of it is read. Closed when the
        answer ends earlier. May return why it ended; without that it was cancelled if ``cancelled``
        is set, else the turn's end.

        Raises: GenerationFailed, ContextExceeded.
        """

    @property
    def context_size(self) -> int:
        """Tokens that prompt and answer together may have."""
        assert self.info.context is not None
        return self.info.context

    def usage(self, counted: Usage) -> Usage:
        """The usage of the answer that ended just now; override it where the engine knows better.

        ``counted`` takes all of the prompt for computed, and every token for kept in the cache. An
        answer that another one has ended is not asked about.
        """
        return counted

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; the prompt and the sampling settings are checked at once.

        Raises: ContextExceeded, GenerationFailed, and what :meth:`encode` raises.
        """
        check_sampling(sampling)
        with self.lock:
            if self._closed:
                raise GenerationFailed("the session is closed", "load the model again")
            if not self.parallel or not self._running:
                self.cancelled.clear()
            self._answer = mark = object()
            if not isinstance(prompt, str) and not prompt:
                raise _nothing("conversation")
            check_text(prompt, self.info)
            self.renderer.asked = sampling
            try:
                tokens = self.encode(prompt)
            except Cancelled:
                return self._stream(mark, (), sampling)  # which says so
            if not tokens:
                raise _nothing("prompt")
            check_count(len(tokens), self.info)
        chunks = self._stream(mark, tokens, sampling)
        return with_calls(chunks) if sampling.tools else chunks

    def cancel(self) -> None:
        """Stop the running answer before its next token; from any thread."""
        self.cancelled.set()
        self.renderer.stop()

    def close(self) -> None:
        """No further answer; twice is fine."""
        self._closed = True
        self.cancelled.set()
        self.renderer.close()

    def _stream(self, mark: object, prompt: Sequence[Any], sampling: Sampling) -> Iterator[Chunk]:
        text, thoughts = TextStream(sampling.stop), ThoughtStream()
        seconds = [0.0, 0.0]  # prefill, decode; without the time in which the caller holds a chunk
        asked, said, reason = len(prompt), 0, None
        with self._counted_in(), closing(self.tokens(prompt, sampling)) as pieces:
            while reason is None:
                with self.lock:
                    reason = self._before(mark, asked, said, sampling)
                    if reason is not None:
                        break
                    started = perf_counter()
                    try:
                        piece = next(pieces)
                    except StopIteration as end:
                        stopped = self.cancelled.is_set()
                        reason = FinishReason.CANCELLED if stopped else FinishReason.STOP
                        reason = end.value or reason
                        break
                    finally:
                        seconds[said > 0] += perf_counter() - started
                if isinstance(piece, PromptRead):
                    yield Chunk("", kind=ChunkKind.PREFILL, prompt_read=piece)
                    continue
                said += 1
                yield from thoughts.feed(text.feed(piece))
                if text.stopped:
                    reason = FinishReason.STOP
        with self.lock:
            counted = self._counted(reason, asked, said, seconds)
            counted = replace(counted, reasoning_tokens=thoughts.tokens)
            usage = counted if self._ended_by_another(mark) else self.usage(counted)
        rest = [*thoughts.feed(text.finish()), *thoughts.finish()]
        yield from joined(rest, Chunk("", usage))

    @contextmanager
    def _counted_in(self) -> Iterator[None]:
        """One more answer runs."""
        with self.lock:
            self._running += 1
        try:
            yield
        finally:
            with self.lock:
                self._running -= 1

    def _ended_by_another(self, mark: object) -> bool:
        return self._answer is not mark and not self.parallel

    def _before(
        self, mark: object, asked: int, said: int, sampling: Sampling
    ) -> FinishReason | None:
        """Why no further token is asked for."""
        if self._closed and not self._ended_by_another(mark):
            raise GenerationFailed("the session was closed", "load the model again")
        if said == sampling.max_tokens:
            return FinishReason.LENGTH
        if self.cancelled.is_set() or self._ended_by_another(mark):
            return FinishReason.CANCELLED
        # The last token needs no cell of the cache.
        return FinishReason.CONTEXT if asked + said > self.context_size else None

    def _counted(self, reason: FinishReason, asked: int, said: int, seconds: list[float]) -> Usage:
        computed = said > 0 or reason is FinishReason.STOP  # else it ended before or in the prefill
        return Usage(
            finish_reason=reason,
            prompt_tokens=asked,
            prefill_tokens=asked if computed else 0,
            tokens=said,
            prefill_seconds=seconds[0],
            decode_seconds=seconds[1],
            context_used=min(asked + said, self.context_size) if computed else 0,
            context=self.context_size,
        )


def _nothing(what: str) -> GenerationFailed:
    return GenerationFailed(f"the {what} is empty: there is nothing to answer", "write a message")

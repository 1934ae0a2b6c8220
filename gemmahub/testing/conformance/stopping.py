"""Tests of answers that nobody wants any more: cancelled, abandoned, never read."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.engines.contract import FinishReason, Sampling
from gemmahub.testing.conformance.kit import GREEDY, Kit, read, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Session, Usage

CANCEL_SECONDS: Final = 0.2
"""How soon an answer ends after ``cancel()``: the contract's bound. An engine that can stop only
between two tokens has two tokens' time where that is longer; and the best of three tries counts,
so that a busy machine fails no backend."""

_MOST: Final = 400
_TRIES: Final = 3
_LONG: Final = 8192  # tokens; the context of a server may be far longer than a test can fill


class StoppingTests(Kit):
    """Tests of ``cancel`` and of closing the iterator."""

    def test_cancel_in_the_middle(self, session: Session) -> None:
        """The last chunk comes soon, with CANCELLED; the session then answers as before."""
        expected = self.ask(session).text
        self._in_time(session, lambda: self._cancel_decoding(session))
        assert self.ask(session).text == expected

    def test_cancel_in_the_prefill(self, session: Session) -> None:
        """A long prompt is given up as soon, while it is computed."""
        expected = self.ask(session).text
        self._in_time(session, lambda: self._cancel_prefill(session))
        assert self.ask(session).text == expected

    def test_cancel_without_an_answer(self, session: Session) -> None:
        """It does not reach the next answer."""
        expected = self.ask(session)
        session.cancel()
        answer = self.ask(session)
        assert answer.text == expected.text
        assert answer.usage.finish_reason is expected.usage.finish_reason

    def test_abandoned_stream(self, session: Session) -> None:
        """Closing the iterator cancels the answer and leaves the session usable."""
        expected = self.ask(session).text
        asked = Sampling(temperature=GREEDY, max_tokens=_MOST)
        chunks = session.generate(self.said(self.prompt), asked)
        next(iter(chunks))
        assert hasattr(chunks, "close"), "generate() returns an iterator that can be closed"
        chunks.close()
        assert self.ask(session).text == expected

    def test_stream_that_is_never_read(self, session: Session) -> None:
        """An answer that nobody asks a chunk of is in nobody's way."""
        expected = self.ask(session).text
        asked = Sampling(temperature=GREEDY, max_tokens=_MOST)
        unread = session.generate(self.said(self.prompt), asked)
        assert self.ask(session).text == expected
        del unread
        assert self.ask(session).text == expected

    def _in_time(self, session: Session, cancel: Callable[[], float]) -> None:
        usage = self.ask(session).usage
        bound = max(CANCEL_SECONDS, 2 * _token_seconds(usage))
        seconds = []
        for _ in range(_TRIES):
            seconds.append(cancel())
            if seconds[-1] <= bound:
                return
        pytest.fail(f"after cancel() the answer went on for {min(seconds):.2f} s, not {bound:.2f}")

    def _cancel_decoding(self, session: Session) -> float:
        """Seconds from the cancel to the end of the answer."""
        wanted = Sampling(temperature=GREEDY, max_tokens=_MOST)
        chunks = iter(session.generate(self.said(self.prompt), wanted))
        first = next(chunks)
        assert first.usage is None, "the answer ended with its first chunk; choose another prompt"
        canceller = threading.Thread(target=session.cancel)
        started = perf_counter()
        canceller.start()
        rest = read(chunks)
        seconds = perf_counter() - started
        canceller.join()
        assert rest.usage.finish_reason is FinishReason.CANCELLED
        assert rest.usage.tokens is None or rest.usage.tokens < _MOST
        return seconds

    def _cancel_prefill(self, session: Session) -> float:
        """Seconds from the first cancel to the end of the answer, however it ended."""
        size = told(session.info.context, "its context")
        prompt = self.said(self.prompt_of(session, min(size, _LONG) * 3 // 4))
        ready = threading.Event()
        failures: list[BaseException] = []

        def consume() -> None:
            ready.set()
            try:
                read(session.generate(prompt, Sampling(temperature=GREEDY, max_tokens=_MOST)))
            except BaseException as error:  # noqa: BLE001 - raised again by the test
                failures.append(error)

        consumer = threading.Thread(target=consume)
        consumer.start()
        ready.wait()
        consumer.join(0.05)  # so that it is at work; the bound holds whether it is or not
        started = perf_counter()
        while consumer.is_alive():  # a cancel that comes before the answer begins stops nothing
            session.cancel()
            consumer.join(0.01)
        seconds = perf_counter() - started
        if failures:
            raise failures[0]
        return seconds


def _token_seconds(usage: Usage) -> float:
    return usage.decode_seconds / usage.tokens if usage.tokens and usage.decode_seconds else 0.0

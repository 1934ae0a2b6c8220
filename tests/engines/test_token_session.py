"""The session for engines that give a token at a time: limits, ends, cancelling, counts."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Chunk, FinishReason, Sampling, SessionInfo, Settings, Usage
from gemmahub.engines.token_session import TokenSession
from gemmahub.errors import ContextExceeded, GenerationFailed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from gemmahub.engines.contract import Prompt


class Bytes(TokenSession):
    """A byte is a token; ``ended`` counts the answers whose tokens were given up or used up."""

    def __init__(self, context: int = 100) -> None:
        super().__init__(SessionInfo("bytes 1", context, None, True, "none", Settings()))
        self.ended = 0

    def encode(self, prompt: Prompt) -> bytes:
        assert isinstance(prompt, str)
        return prompt.encode()

    def tokens(
        self, prompt: Sequence[int], sampling: Sampling
    ) -> Generator[bytes, None, FinishReason | None]:
        try:
            for byte in prompt:
                if byte == ord("!"):
                    raise GenerationFailed("the engine failed", "try again")
                yield bytes([byte])
        finally:
            self.ended += 1
        return None


def read(chunks: Iterable[Chunk]) -> tuple[str, Usage]:
    seen = list(chunks)
    assert [chunk.usage is None for chunk in seen] == [True] * (len(seen) - 1) + [False]
    usage = seen[-1].usage
    assert usage is not None
    return "".join(chunk.text for chunk in seen), usage


def ask(session: TokenSession, prompt: str, **sampling: object) -> tuple[str, Usage]:
    return read(session.generate(prompt, Sampling(**sampling)))  # type: ignore[arg-type]


def test_the_whole_answer() -> None:
    text, usage = ask(Bytes(), "né")
    assert text == "né"
    assert (usage.prompt_tokens, usage.prefill_tokens, usage.tokens) == (3, 3, 3)
    assert (usage.context_used, usage.context) == (6, 100)
    assert usage.finish_reason is FinishReason.STOP
    assert usage.prefill_seconds


@pytest.mark.parametrize(
    ("context", "sampling", "text", "reason"),
    [
        (100, {"max_tokens": 2}, "ab", FinishReason.LENGTH),
        (100, {"max_tokens": 0}, "", FinishReason.LENGTH),
        (100, {"max_tokens": 6}, "abcdef", FinishReason.LENGTH),
        (100, {"stop": ("x", "de")}, "abc", FinishReason.STOP),
        (100, {"stop": ("fg",)}, "abcdef", FinishReason.STOP),
        (8, {}, "abc", FinishReason.CONTEXT),  # 6 of the prompt, and the last needs no cell
        (6, {}, "a", FinishReason.CONTEXT),
    ],
)
def test_what_ends_it(
    context: int, sampling: dict[str, object], text: str, reason: FinishReason
) -> None:
    session = Bytes(context)
    answer, usage = ask(session, "abcdef", **sampling)
    assert (answer, usage.finish_reason) == (text, reason)
    assert (usage.context_used or 0) <= context
    assert session.ended == bool(usage.tokens)


def test_a_prompt_that_does_not_fit_is_refused_at_once() -> None:
    session = Bytes(4)
    with pytest.raises(ContextExceeded, match="5 tokens, but the context holds 4"):
        session.generate("abcde", Sampling())
    with pytest.raises(GenerationFailed, match="nothing to answer"):
        session.generate("", Sampling())


def test_cancel_between_two_tokens_and_before_the_first() -> None:
    session = Bytes()
    chunks = session.generate("abc", Sampling())
    first = next(chunks)
    session.cancel()
    text, usage = read([first, *chunks])
    assert (text, usage.finish_reason) == ("a", FinishReason.CANCELLED)
    chunks = session.generate("abc", Sampling())
    session.cancel()
    text, usage = read(chunks)
    assert (text, usage.finish_reason, usage.prefill_tokens) == ("", FinishReason.CANCELLED, 0)
    assert ask(session, "abc")[0] == "abc"


def test_an_abandoned_answer_ends_the_engines_own() -> None:
    session = Bytes()
    chunks = session.generate("abc", Sampling())
    next(chunks)
    assert session.ended == 0
    chunks.close()  # type: ignore[attr-defined]
    assert session.ended == 1


def test_a_new_answer_ends_the_one_before() -> None:
    session = Bytes()
    old = session.generate("abc", Sampling())
    first = next(old)
    new = session.generate("xyz", Sampling())
    assert read([first, *old])[1].finish_reason is FinishReason.CANCELLED
    assert read(new)[0] == "xyz"


class Knowing(Bytes):
    """Keeps all but the last byte of a prompt from before, and says itself why it ended."""

    reason: FinishReason | None = FinishReason.CONTEXT

    def tokens(
        self, prompt: Sequence[int], sampling: Sampling
    ) -> Generator[bytes, None, FinishReason | None]:
        yield from super().tokens(prompt, sampling)
        return self.reason

    def usage(self, counted: Usage) -> Usage:
        return replace(counted, prefill_tokens=1, context_used=7)


def test_an_engine_that_knows_better_says_so() -> None:
    session = Knowing()
    _, usage = ask(session, "abc")
    assert (usage.prefill_tokens, usage.context_used, usage.tokens) == (1, 7, 3)
    assert usage.finish_reason is FinishReason.CONTEXT
    session.reason = None
    assert ask(session, "abc")[1].finish_reason is FinishReason.STOP
    assert ask(session, "abc", max_tokens=1)[1].finish_reason is FinishReason.LENGTH


def test_the_engine_is_not_asked_about_an_answer_that_another_one_ended() -> None:
    session = Knowing()
    old = session.generate("abc", Sampling())
    first = next(old)
    session.generate("xyz", Sampling())
    assert read([first, *old])[1].prefill_tokens == 3


@pytest.mark.parametrize(
    ("trained", "hint"),
    [(None, "--ctx-size 512"), (512, "--ctx-size 512"), (300, "trained for 300")],
)
def test_the_hint_names_a_context_that_the_model_was_trained_for(
    trained: int | None, hint: str
) -> None:
    session = Bytes(4)
    session.info = replace(session.info, context_trained=trained)
    with pytest.raises(ContextExceeded) as caught:
        session.generate("abcde", Sampling())
    assert hint in caught.value.hint


def test_closing_waits_for_the_token_that_is_computed() -> None:
    """So that memory is not freed under the engine."""
    computing, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    class Slow(Bytes):
        def tokens(self, prompt: Sequence[int], sampling: Sampling) -> Generator[bytes, None, None]:
            computing.set()
            go_on.wait()
            assert not closed.is_set()
            yield b"x"

        def close(self) -> None:
            super().close()
            with self.lock:
                closed.set()

    session = Slow()
    found: list[str] = []

    def answer() -> None:
        with pytest.raises(GenerationFailed, match="closed"):
            found.extend(chunk.text for chunk in session.generate("abc", Sampling()))

    reader, closer = threading.Thread(target=answer), threading.Thread(target=session.close)
    reader.start()
    computing.wait()
    closer.start()
    assert session.cancelled.wait(60)  # the closer is at work
    go_on.set()
    reader.join()
    closer.join()
    assert closed.is_set()
    assert found == ["x"]


def test_errors_of_the_engine_come_through_and_the_session_lives() -> None:
    session = Bytes()
    with pytest.raises(GenerationFailed, match="the engine failed"):
        ask(session, "ab!c")
    assert ask(session, "ab")[0] == "ab"


def test_closing_from_another_thread_ends_the_answer() -> None:
    session = Bytes()
    chunks = session.generate("abc", Sampling())
    next(chunks)
    closer = threading.Thread(target=session.close)
    closer.start()
    closer.join()
    with pytest.raises(GenerationFailed, match="closed"):
        list(chunks)
    session.close()
    with pytest.raises(GenerationFailed, match="closed"):
        session.generate("abc", Sampling())

"""The process that renders a session's chat template: when it starts, and what ends it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import FinishReason, Message, Sampling, SessionInfo, Settings
from gemmahub.engines.prompt_tokens import encode
from gemmahub.engines.token_session import TokenSession
from gemmahub.errors import GenerationFailed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator, Sequence

    from gemmahub.engines.contract import Prompt

HELLO = [Message("user", "hello")]
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
# In Python's own code, which lets no other thread run.
COMPARED = (
    "{% set n = namespace(v=[], w=[]) %}{% for i in range(60) %}"
    "{% set n.v = [n.v, n.v] %}{% set n.w = [n.w, n.w] %}{% endfor %}{{ n.v == n.w }}"
)


class Letters(TokenSession):
    """A model whose tokens are characters."""

    bos = "^"
    eos = "$"

    def __init__(self, template: str | None) -> None:
        super().__init__(SessionInfo("letters", 4096, None, True, "none", Settings()))
        self.chat_template = template

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[int]:
        return [*[ord(self.bos)] * start, *map(ord, text)]

    def control_texts(self, text: str) -> set[str]:
        return {self.bos, self.eos} & set(text)

    def encode(self, prompt: Prompt) -> list[int]:
        return encode(self, prompt, self.renderer)

    def tokens(
        self, prompt: Sequence[int], sampling: Sampling
    ) -> Generator[bytes, None, FinishReason | None]:
        yield from (chr(token).encode() for token in prompt)
        return None


def test_a_session_without_a_template_or_with_raw_text_starts_no_process() -> None:
    with Letters(None) as session:
        list(session.generate(HELLO, Sampling()))
        assert process_of(session) is None
    with Letters(LOOPS) as session:
        list(session.generate("raw", Sampling()))
        assert process_of(session) is None


def test_a_session_keeps_its_process_until_it_is_closed() -> None:
    with Letters("{{ messages[0].content }}") as session:
        answers = ["hello", "a$b"]  # a control token: the marked conversation is rendered, too
        for text in answers:
            chunks = list(session.generate([Message("user", text)], Sampling()))
            assert "".join(chunk.text for chunk in chunks) == f"^{text}"
        process = process_of(session)
        assert process is not None
        assert process.poll() is None
    assert process.poll() is not None


@pytest.mark.parametrize("source", [LOOPS, COMPARED])
def test_a_cancel_ends_what_is_rendered(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Letters(source) as session:
        canceller = once_it_renders(session, session.cancel, monkeypatch)
        (chunk,) = session.generate(HELLO, Sampling())
        canceller.join()
        assert chunk.usage is not None
        assert chunk.usage.finish_reason is FinishReason.CANCELLED
        assert chunk.usage.prompt_tokens == 0
        session.chat_template = "b"
        assert len(list(session.generate(HELLO, Sampling()))) > 1


def test_a_cancel_just_after_a_rendering_does_not_hurt_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Letters("b") as session:
        exchange = session.renderer._exchange

        def cancelled_late(*arguments: Any) -> dict[str, Any]:
            answer: dict[str, Any] = exchange(*arguments)
            session.cancel()
            return answer

        monkeypatch.setattr(session.renderer, "_exchange", cancelled_late)
        (chunk,) = session.generate(HELLO, Sampling())
        assert chunk.usage is not None
        assert chunk.usage.finish_reason is FinishReason.CANCELLED
        monkeypatch.undo()
        assert len(list(session.generate(HELLO, Sampling()))) > 1


def test_closing_a_session_ends_what_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Letters(COMPARED)
    closer = once_it_renders(session, session.close, monkeypatch)
    with pytest.raises(GenerationFailed, match="closed"):
        list(session.generate(HELLO, Sampling()))
    closer.join()
    assert process_of(session) is None


def process_of(session: Letters) -> subprocess.Popen[bytes] | None:
    return session.renderer._process


def once_it_renders(
    session: Letters, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> threading.Thread:
    """A thread that acts when the session has begun to render."""
    begun = threading.Event()
    exchange = session.renderer._exchange

    def watched(*arguments: Any) -> dict[str, Any]:
        begun.set()
        return exchange(*arguments)

    def wait_and_act() -> None:
        begun.wait()
        act()

    monkeypatch.setattr(session.renderer, "_exchange", watched)
    thread = threading.Thread(target=wait_and_act, daemon=True)
    thread.start()
    return thread

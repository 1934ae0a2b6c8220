"""The echo backend, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmahub.engines.contract import Artifact, FinishReason, Message, Sampling, Settings
from gemmahub.errors import ContextExceeded, LoadFailed
from gemmahub_echo.backend import EchoBackend, EchoSession


@pytest.fixture
def session() -> EchoSession:
    return EchoBackend().load(Artifact("gguf", Path("x")), Settings(context=4))


def test_says_the_last_message_again(session: EchoSession) -> None:
    messages = [Message("user", "old"), Message("assistant", "old"), Message("user", "one two")]
    chunks = list(session.generate(messages, Sampling()))
    assert "".join(chunk.text for chunk in chunks) == "one two"
    assert [chunk.usage is not None for chunk in chunks] == [False, False, True]


def test_max_tokens(session: EchoSession) -> None:
    last = list(session.generate("a b c", Sampling(max_tokens=2)))[-1]
    assert last.usage is not None
    assert (last.usage.tokens, last.usage.finish_reason) == (2, FinishReason.LENGTH)


def test_cancel_between_words(session: EchoSession) -> None:
    said = []
    for chunk in session.generate("a b c", Sampling()):
        said.append(chunk)
        session.cancel()
    assert said[-1].usage is not None
    assert said[-1].usage.finish_reason == FinishReason.CANCELLED
    assert said[-1].usage.tokens == 1


def test_too_long(session: EchoSession) -> None:
    with pytest.raises(ContextExceeded):
        list(session.generate("a b c d e", Sampling()))


def test_unknown_option() -> None:
    with pytest.raises(LoadFailed):
        EchoBackend().load(Artifact("gguf", Path("x")), Settings(options={"nope": 1}))

"""A conversation that is held and not kept: what the model sees of what was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.conversations import AnswerDelta, AnswerFinished, AnswerStarted, ChatSession
from gemmahub.conversations.chat_session import COMPLETION_TOKENS
from gemmahub.engines.contract import Artifact, Message, Prompt, Sampling, Settings
from gemmahub.errors import ContextExceeded, UsageError
from gemmahub_echo.backend import EchoBackend, EchoSession

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gemmahub.conversations import ChatEvent
    from gemmahub.engines.contract import Chunk


class Noting(EchoSession):
    """The echo session, which notes what it was given."""

    heard: list[Prompt]
    limits: list[int | None]

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        self.heard.append(prompt)
        self.limits.append(sampling.max_tokens)
        return super().generate(prompt, sampling)


@pytest.fixture
def session(any_artifact: Artifact) -> Noting:
    info = EchoBackend().load(any_artifact, Settings(context=8)).info
    noting = Noting(info, 0.0)
    noting.heard, noting.limits = [], []
    return noting


def said(events: Iterable[ChatEvent]) -> str:
    *_, last = found = list(events)
    assert isinstance(last, AnswerFinished)
    if last.error is not None:
        raise last.error
    return "".join(event.text for event in found if not isinstance(event, AnswerStarted))


def turns(chat: ChatSession) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in chat.journal.saved().messages]


def test_each_token_is_handed_on_at_once_where_that_is_wanted(session: Noting) -> None:
    chat = ChatSession(session, batch_seconds=0)
    events = list(chat.ask("one two three"))
    deltas = [event for event in events if isinstance(event, AnswerDelta)]
    assert [delta.text for delta in deltas] == ["one", " two", " three"]
    assert [delta.tokens for delta in deltas] == [1, 2, 3]


def test_a_question_is_asked_again_with_another_text(session: Noting) -> None:
    chat = ChatSession(session, system="S")
    for text in ("one", "two", "three"):
        assert said(chat.ask(text)) == text
    assert said(chat.resend(2, "zwei")) == "zwei"
    assert session.heard[-1] == (
        Message("system", "S"),
        Message("user", "one"),
        Message("assistant", "one"),
        Message("user", "zwei"),
    )
    assert turns(chat)[2:] == [("user", "zwei"), ("assistant", "zwei")]


def test_regenerate_replaces_the_last_answer(session: Noting) -> None:
    chat = ChatSession(session)
    said(chat.ask("one"))
    said(chat.ask("two", [Path("a.png")]))
    assert said(chat.regenerate()) == "two"
    assert len(turns(chat)) == 4
    assert session.heard[-1] == session.heard[-2]
    assert session.heard[-1][-1] == Message("user", "two", (Path("a.png"),))


def test_the_model_sees_nothing_of_a_question_that_failed(session: Noting) -> None:
    chat = ChatSession(session)
    said(chat.ask("one"))
    with pytest.raises(ContextExceeded):
        said(chat.ask("far too many words for such a small context"))
    said(chat.ask("two"))
    assert session.heard[-1] == (
        Message("user", "one"),
        Message("assistant", "one"),
        Message("user", "two"),
    )


@pytest.mark.parametrize("number", [-1, 1, 2])
def test_only_questions_are_asked_again(session: Noting, number: int) -> None:
    chat = ChatSession(session)
    said(chat.ask("one"))
    with pytest.raises(UsageError, match="no question"):
        said(chat.resend(number))
    with pytest.raises(UsageError, match="no question"):
        said(ChatSession(session).regenerate())
    assert turns(chat) == [("user", "one"), ("assistant", "one")]


def test_an_answer_that_is_left_counts_as_far_as_it_went(session: Noting) -> None:
    chat = ChatSession(session, batch_seconds=0)
    events = chat.ask("one two three")
    next(events)
    next(events)
    events.close()
    assert turns(chat) == [("user", "one two three"), ("assistant", "one")]
    said(chat.ask("more"))
    assert session.heard[-1] == (
        Message("user", "one two three"),
        Message("assistant", "one"),
        Message("user", "more"),
    )


def test_a_conversation_is_forgotten_and_its_system_prompt_stays(session: Noting) -> None:
    chat = ChatSession(session, system="S")
    said(chat.ask("one"))
    chat.journal.cut(0)
    said(chat.ask("two"))
    assert session.heard[-1] == (Message("system", "S"), Message("user", "two"))


def test_plain_completion_remembers_nothing_and_has_an_end(session: Noting) -> None:
    chat = ChatSession(session, system="S", raw=True)
    for text in ("one", "two"):
        said(chat.ask(text))
    assert session.heard == ["S\n\none", "S\n\ntwo"]
    assert session.limits == [COMPLETION_TOKENS] * 2
    said(ChatSession(session, sampling=Sampling(max_tokens=3), raw=True).ask("three"))
    assert session.limits[-1] == 3


def test_plain_completion_takes_no_images(session: Noting) -> None:
    chat = ChatSession(session, raw=True)
    with pytest.raises(UsageError, match="no images"):
        said(chat.ask("one", [Path("a.png")]))

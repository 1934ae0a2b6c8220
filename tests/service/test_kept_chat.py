"""A conversation that is saved as it goes, through the real worker process of the echo plugin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from gemmahub.config import Config
from gemmahub.conversations import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatEvent,
    ChatSession,
    ConversationStore,
    Described,
    Journal,
    SavedMessage,
)
from gemmahub.conversations.turns import seen_by_the_model
from gemmahub.engines.contract import Message, Sampling, Settings
from gemmahub.errors import BackendCrashed, Cancelled, ContextExceeded, UsageError
from gemmahub.service import Library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@pytest.fixture
def hub(tmp_path: Path) -> Library:
    return Library(config=Config(tmp_path / "cache", tmp_path / "data", backend="echo"))


def start(hub: Library, model: str, **options: object) -> ChatSession:
    context = options.pop("context", None)
    assert context is None or isinstance(context, int)
    running = hub.load(model, Settings(context=context, options=options))
    return running.chat(hub.conversations.new(Described(model)))


@pytest.fixture
def model(tiny_model: Path) -> str:
    return str(tiny_model)


@pytest.fixture
def chat(hub: Library, model: str) -> Iterator[ChatSession]:
    found = start(hub, model, delay=0.001)
    yield found
    found.close()


def journal_of(chat: ChatSession) -> Journal:
    assert isinstance(chat.journal, Journal)
    return chat.journal


def text_of(events: Iterable[ChatEvent]) -> str:
    return "".join(event.text for event in events if not isinstance(event, AnswerStarted))


def last(events: Iterable[ChatEvent]) -> AnswerFinished:
    event = list(events)[-1]
    assert isinstance(event, AnswerFinished)
    return event


def kept(hub: Library, chat: ChatSession) -> list[SavedMessage]:
    return list(ConversationStore(hub.config.data).load(journal_of(chat).id).messages)


def test_what_is_handed_on_was_kept_before(hub: Library, chat: ChatSession) -> None:
    shown = ""
    words = " ".join(f"word{n}" for n in range(200))
    for event in chat.ask(words):
        if isinstance(event, AnswerStarted):
            assert (event.number, event.answer, event.text) == (0, 1, words)
        else:
            shown += event.text
        assert kept(hub, chat)[1].text == shown
    assert shown == words
    answer = kept(hub, chat)[1]
    assert answer.finish == "stop"
    assert answer.timings is not None
    assert answer.timings.tokens == 200
    assert answer.timings.first_token_seconds > 0
    assert answer.model.endswith("echo 1 on none")


def test_tokens_come_in_batches(chat: ChatSession) -> None:
    events = list(chat.ask(" ".join("x" * 300)))
    pieces = [event for event in events if isinstance(event, AnswerDelta)]
    assert 1 <= len(pieces) < 150
    assert [p.tokens for p in pieces] == sorted(p.tokens for p in pieces)


def test_control_sequences_are_kept_and_not_shown(hub: Library, chat: ChatSession) -> None:
    assert text_of(chat.ask("a \x1b[31mred b")) == "a red b"
    assert kept(hub, chat)[1].text == "a \x1b[31mred b"


def test_stop_keeps_what_came(hub: Library, model: str) -> None:
    chat = start(hub, model, delay=0.05)
    try:
        ended = None
        for event in chat.ask(" ".join("x" * 1500)):
            if isinstance(event, AnswerStarted):
                chat.stop()  # before there is anything to stop
            ended = event
        assert isinstance(ended, AnswerFinished)
        assert ended.finish == "cancelled"
        assert kept(hub, chat)[1].finish == "cancelled"
        assert text_of(chat.ask("again")) == "again"
    finally:
        chat.close()


def test_a_killed_engine_is_reported_and_everything_is_kept(hub: Library, model: str) -> None:
    chat = start(hub, model, delay=0.01)
    pid = chat.session.pid  # type: ignore[attr-defined]
    shown, ended = "", None
    for event in chat.ask(" ".join("x" * 2000)):
        if isinstance(event, AnswerDelta):
            shown += event.text
            os.kill(pid, signal.SIGKILL)
        ended = event
    assert isinstance(ended, AnswerFinished)
    assert ended.crashed
    assert isinstance(ended.error, BackendCrashed)
    question, answer = kept(hub, chat)
    assert answer.text.startswith(shown.rstrip())
    assert (answer.finish, answer.error) == ("error", ended.error.message)
    chat.detach()
    chat.session.close()
    # The same conversation goes on with a model that was loaded anew.
    again = hub.load(model).chat(journal_of(chat))
    try:
        assert text_of(again.ask("still there?")) == "still there?"
        assert next(m.text for m in kept(hub, again)) == question.text
        assert len(kept(hub, again)) == 4
    finally:
        again.close()


def test_what_fails_is_told_by_the_last_event(hub: Library, model: str) -> None:
    chat = start(hub, model, context=4)
    try:
        ended = last(chat.ask("far too many words here"))
        assert isinstance(ended.error, ContextExceeded)
        assert not ended.crashed
        assert text_of(chat.ask("a b")) == "a b"
    finally:
        chat.close()


def test_resend_replaces_what_followed(hub: Library, chat: ChatSession) -> None:
    for text in ("one", "two", "three"):
        last(chat.ask(text))
    assert text_of(chat.resend(2, "zwei")) == "zwei"
    assert [m.text for m in kept(hub, chat)] == ["one", "one", "zwei", "zwei"]
    assert text_of(chat.regenerate()) == "zwei"
    assert [m.text for m in kept(hub, chat)] == ["one", "one", "zwei", "zwei"]
    with pytest.raises(UsageError, match="no question"):
        last(chat.resend(1))


def test_sampling_and_system_prompt_count_from_the_next_question(chat: ChatSession) -> None:
    journal_of(chat).set(sampling=Sampling(max_tokens=2), system="S")
    ended = last(chat.ask("a b c d"))
    assert ended.finish == "length"
    assert ended.timings is not None
    assert ended.timings.tokens == 2


def test_leaving_in_the_middle_of_an_answer(hub: Library, model: str) -> None:
    chat = start(hub, model, delay=0.01)
    ended: list[ChatEvent] = []
    begun = threading.Event()

    def read() -> None:
        for event in chat.ask(" ".join("x" * 2000)):
            ended.append(event)
            begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(30)
    chat.close()
    reader.join(30)
    assert not reader.is_alive()
    assert isinstance(ended[-1], AnswerFinished)
    assert ended[-1].finish == "cancelled"
    assert ended[-1].error is None
    hub.conversations.open(journal_of(chat).id).close()  # nobody holds it any more
    with pytest.raises(BackendCrashed):
        last(chat.ask("more"))


def test_loading_is_told_of_and_can_be_cancelled(hub: Library, model: str) -> None:
    stages: list[str] = []
    with pytest.raises(Cancelled):
        hub.load(model, Settings(), on_stage=stages.append, cancelled=lambda: len(stages) > 1)
    assert stages[0].startswith("resolving ")
    assert stages[1].startswith("starting echo, reading ")


def test_a_full_disk_does_not_end_the_answer(
    chat: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = chat.ask("a b c")
    next(events)

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        rest = list(events)
    assert text_of(rest) == "a b c"
    ended = last(rest)
    assert ended.error is None
    assert ended.unsaved is not None
    assert "No space left" in ended.unsaved.message


def test_questions_without_an_answer_are_not_shown_to_the_model() -> None:
    turns = [
        SavedMessage("user", "a"),
        SavedMessage("assistant", "", error="failed"),
        SavedMessage("user", "b"),
        SavedMessage("assistant", "half", error="crashed"),
        SavedMessage("user", "c"),
    ]
    assert seen_by_the_model(turns) == [Message("user", "b"), Message("assistant", "half")]


CHAT = """
import sys
from pathlib import Path
from gemmahub.config import Config
from gemmahub.conversations import Described
from gemmahub.engines.contract import Settings
from gemmahub.service import Library
from gemmahub.conversations import AnswerDelta
data, model = sys.argv[1:]
hub = Library(config=Config(Path(data) / "cache", Path(data) / "data", backend="echo"))
running = hub.load(model, Settings(context=10**6, options={"delay": 0.0005}))
chat = running.chat(hub.conversations.new(Described(model)))
for event in chat.ask(" ".join(f"word{n}" for n in range(100_000))):
    if isinstance(event, AnswerDelta):
        print(event.text.split()[-1], flush=True)
"""


def test_kill_nine_in_the_middle_of_an_answer(hub: Library, model: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHAT, str(tmp_path), model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for _ in range(5):
            program.stdout.readline()
        program.send_signal(signal.SIGKILL)
        rest = program.stdout.read().split()
    (match,) = hub.conversations.search("")
    question, answer = hub.conversations.load(match.summary.id).messages
    assert answer.finish == "interrupted"
    assert question.text.startswith(answer.text)
    assert all(word in answer.text.split() for word in rest)

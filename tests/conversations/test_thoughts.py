"""What a model thought is kept with its answer, and goes back to the engine as what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.conversations import (
    AnswerDelta,
    AnswerFinished,
    ChatSession,
    ConversationStore,
    Described,
    as_json,
    as_markdown,
)
from gemmahub.conversations import lines as file_lines
from gemmahub.engines.contract import (
    Artifact,
    Chunk,
    ChunkKind,
    FinishReason,
    Prompt,
    Sampling,
    Settings,
    Usage,
)
from gemmahub_echo.backend import EchoBackend, EchoSession

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Thinking(EchoSession):
    """Thinks and answers the same each time, and notes what it was given."""

    heard: list[tuple[Prompt, Sampling]]

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        self.heard.append((prompt, sampling))
        for word in ("hm, ", "\x1b[2Jwell"):
            yield Chunk(word, kind=ChunkKind.REASONING)
        yield Chunk("So ")
        yield Chunk("be it.")
        yield Chunk("", Usage(FinishReason.STOP, tokens=6, reasoning_tokens=2))


@pytest.fixture
def session(any_artifact: Artifact) -> Thinking:
    info = EchoBackend().load(any_artifact, Settings(context=64)).info
    thinking = Thinking(info, 0.0)
    thinking.heard = []
    return thinking


@pytest.fixture
def store(tmp_path: Path) -> ConversationStore:
    return ConversationStore(tmp_path)


@pytest.mark.parametrize("kept", [True, False])
def test_a_thought_is_kept_counted_and_sent_back_apart(
    session: Thinking, store: ConversationStore, kept: bool
) -> None:
    described = Described("x", sampling=Sampling(thinking=True))
    journal = store.new(described) if kept else None
    chat = ChatSession(session, journal, sampling=Sampling(thinking=True), batch_seconds=0)
    *events, last = chat.ask("Shall it be?")
    assert isinstance(last, AnswerFinished)
    deltas = [event for event in events if isinstance(event, AnswerDelta)]
    assert "".join(delta.thought for delta in deltas) + last.thought == "hm, well"
    assert "".join(delta.text for delta in deltas) + last.text == "So be it."
    assert last.timings is not None
    assert last.timings.reasoning_tokens == 2
    assert last.timings.reasoning_seconds is not None
    assert last.timings.thought == "thought for 0.0 s, 2 tokens"
    answer = chat.journal.saved().messages[-1]
    assert (answer.text, answer.thought) == ("So be it.", "hm, \x1b[2Jwell")
    list(chat.ask("And now?"))
    prompt, sampling = session.heard[-1]
    assert sampling.thinking is True
    assert not isinstance(prompt, str)
    assert [turn.content for turn in prompt] == ["Shall it be?", "So be it.", "And now?"]
    assert [turn.reasoning for turn in prompt] == ["", "hm, \x1b[2Jwell", ""]


def test_a_conversation_that_says_nothing_of_thoughts_asks_for_none(session: Thinking) -> None:
    list(ChatSession(session).ask("Hi"))
    assert session.heard[0][1].thinking is False


def test_thoughts_are_in_exports_and_no_part_of_the_answer(
    session: Thinking, store: ConversationStore
) -> None:
    with store.new(Described("x")) as journal:
        list(ChatSession(session, journal).ask("Hi"))
        saved = journal.saved()
    answer = as_json(saved)["messages"][-1]
    assert (answer["text"], answer["thought"]) == ("So be it.", "hm, \x1b[2Jwell")
    text = as_markdown(saved)
    assert "thought for 0.0 s, 2 tokens" in text
    assert "<details>\n<summary>Thought</summary>\n\nhm, well\n\n</details>\n\nSo be it." in text


def test_an_answer_that_was_cut_off_keeps_its_thought() -> None:
    head = {"kind": "head", "version": 1}
    begun = {"kind": "answer", "n": 0}
    part = {"kind": "part", "n": 0, "text": "", "thought": "hm"}
    more = {"kind": "part", "n": 0, "text": "So", "thought": 7}  # damage costs no more than itself
    saved = file_lines.read("x", b"".join(map(file_lines.pack, (head, begun, part, more))))
    (message,) = saved.messages
    assert (message.text, message.thought, message.finish) == ("So", "hm", "interrupted")
    assert saved.damaged == 1

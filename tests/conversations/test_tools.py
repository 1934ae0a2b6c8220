"""Calls of tools and their results are kept, exported, and sent back as what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.conversations import (
    AnswerDelta,
    AnswerStarted,
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
    Message,
    Prompt,
    Sampling,
    Settings,
    Tool,
    ToolCall,
    Usage,
)
from gemmahub.errors import GenerationFailed, UsageError
from gemmahub_echo.backend import EchoBackend, EchoSession

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLS = Sampling(tools=(Tool("look_up", "", {"type": "object"}),))
CALLS = (ToolCall("c1", "look_up", '{"on": "K2"}'), ToolCall("c2", "look_up", '{"on": "K3"}'))


class Calling(EchoSession):
    """Calls two tools, and answers their results; notes what it was given."""

    heard: list[Prompt]
    fails = False

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        self.heard.append(prompt)
        if self.fails:
            raise GenerationFailed("no luck", "try again")
        if prompt[-1].role == "tool":  # type: ignore[union-attr]
            yield Chunk("so high", Usage(FinishReason.STOP))
            return
        yield Chunk("I look.")
        for call in CALLS:
            yield Chunk("", kind=ChunkKind.TOOL_CALL, tool_call=call)
        yield Chunk("", Usage(FinishReason.TOOL_CALLS))


@pytest.fixture
def session(any_artifact: Artifact) -> Calling:
    info = EchoBackend().load(any_artifact, Settings(context=64)).info
    calling = Calling(info, 0.0)
    calling.heard = []
    return calling


@pytest.fixture(params=[True, False])
def chat(request: pytest.FixtureRequest, session: Calling, tmp_path: Path) -> Iterator[ChatSession]:
    store = ConversationStore(tmp_path)
    journal = store.new(Described("x", sampling=TOOLS)) if request.param else None
    chat = ChatSession(session, journal, sampling=TOOLS, batch_seconds=0)
    yield chat
    chat.close()


def test_calls_come_as_events_and_their_results_are_sent_back(
    chat: ChatSession, session: Calling
) -> None:
    *events, last = chat.ask("How high?")
    deltas = [event for event in events if isinstance(event, AnswerDelta)]
    assert [delta.call for delta in deltas if delta.call] == list(CALLS)
    assert "".join(delta.text for delta in deltas) == "I look."
    assert last[2] == "tool_calls"
    assert chat.journal.saved().open_calls == CALLS
    started, *_ = chat.give_results({"c2": "8051", "c1": "8611"})
    assert isinstance(started, AnswerStarted)
    assert started.results == (("c1", "8611"), ("c2", "8051"))
    assert session.heard[-1] == (
        Message("user", "How high?"),
        Message("assistant", "I look.", tool_calls=CALLS),
        Message("tool", "8611", tool_call_id="c1"),
        Message("tool", "8051", tool_call_id="c2"),
    )
    assert chat.journal.saved().open_calls == ()
    assert chat.journal.saved().messages[-1].text == "so high"
    list(chat.ask("And now?"))
    roles = [message.role for message in session.heard[-1]]
    assert roles == ["user", "assistant", "tool", "tool", "assistant", "user"]


@pytest.mark.parametrize("results", [{}, {"c1": "1"}, {"c1": "1", "c2": "2", "c3": "3"}])
def test_results_of_other_calls_are_refused_and_nothing_is_kept(
    chat: ChatSession, results: dict[str, str]
) -> None:
    with pytest.raises(UsageError):
        list(chat.give_results({"c1": "1"}))
    list(chat.ask("How high?"))
    with pytest.raises(UsageError):
        list(chat.give_results(results))
    assert [m.role for m in chat.journal.saved().messages] == ["user", "assistant"]


def test_a_question_whose_tools_gave_nothing_is_left_out_of_the_next_prompt(
    chat: ChatSession, session: Calling
) -> None:
    list(chat.ask("How high?"))
    list(chat.ask("And this?"))
    assert session.heard[-1] == (Message("user", "And this?"),)
    session.fails = True
    list(chat.give_results({"c1": "1", "c2": "2"}))
    session.fails = False
    list(chat.ask("Well?"))
    assert session.heard[-1] == (Message("user", "Well?"),)


def test_exports_have_calls_and_results(session: Calling, tmp_path: Path) -> None:
    with ConversationStore(tmp_path).new(Described("x", sampling=TOOLS)) as journal:
        chat = ChatSession(session, journal)
        list(chat.ask("How high?"))
        list(chat.give_results({"c1": "8611", "c2": "8051"}))
        saved = journal.saved()
    rows = as_json(saved)["messages"]
    assert rows[1]["tool_calls"][1] == {"id": "c2", "name": "look_up", "arguments": '{"on": "K3"}'}
    assert (rows[2]["role"], rows[2]["tool_call_id"], rows[2]["text"]) == ("tool", "c1", "8611")
    text = as_markdown(saved)
    assert '*Called: look\\_up {"on": "K2"} (c1)*' in text
    assert "## Tool\n\n8611" in text


def test_a_damaged_call_costs_no_more_than_itself() -> None:
    head = {"kind": "head", "version": 1}
    begun = {"kind": "answer", "n": 0}
    call = {"kind": "call", "n": 0, "id": "c1", "name": "f", "arguments": "{}"}
    broken = {**call, "arguments": 7}
    saved = file_lines.read("x", b"".join(map(file_lines.pack, (head, begun, broken, call))))
    (message,) = saved.messages
    assert message.tool_calls == (ToolCall("c1", "f", "{}"),)
    assert saved.damaged == 1

"""Tools and answers in a form through a server of the tests: what it is sent, what it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import FinishReason, Message, Sampling, Tool, ToolCall
from gemmahub.errors import BackendError
from plugins.ollama.tests.fake_server import DONE, SHOW, FakeServer, objects, said
from plugins.ollama.tests.test_faults import fake, load  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub_ollama.session import OllamaSession

SCHEMA = {"type": "object", "properties": {"on": {"type": "string"}}}
LOOK_UP = Tool("look_up", "A height.", SCHEMA)
ASKED = [Message("user", "How high is K2?")]


@pytest.fixture
def caller(fake: FakeServer) -> Iterator[OllamaSession]:  # noqa: F811
    fake.answers["/api/show"] = objects({**SHOW, "capabilities": ["completion", "tools"]})
    with load() as session:
        yield session


def calling(*functions: Any) -> Any:
    message = {"role": "assistant", "content": "", "tool_calls": list(functions)}
    return objects({"message": message, "done": False}, {"message": {"content": ""}, **DONE})


def test_calls_come_apart_with_ids_for_their_results(
    fake: FakeServer,  # noqa: F811
    caller: OllamaSession,
) -> None:
    function = {"function": {"name": "look_up", "arguments": {"on": "K2"}}}
    fake.answers["/api/chat"] = calling(function, function)
    *chunks, last = caller.generate(ASKED, Sampling(tools=(LOOK_UP,)))
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("look_up", {"on": "K2"})
    ] * 2
    assert calls[0].id != calls[1].id
    assert last.usage is not None
    assert last.usage.finish_reason is FinishReason.TOOL_CALLS
    (body,) = fake.bodies("/api/chat")
    function = {"name": "look_up", "description": "A height.", "parameters": SCHEMA}
    assert body["tools"] == [{"type": "function", "function": function}]


def test_results_are_sent_with_the_name_of_their_tool(
    fake: FakeServer,  # noqa: F811
    caller: OllamaSession,
) -> None:
    fake.answers["/api/chat"] = objects(*said("high"))
    call = Message("assistant", "", tool_calls=(ToolCall("c1", "look_up", '{"on": "K2"}'),))
    result = Message("tool", "8611", tool_call_id="c1")
    list(caller.generate([*ASKED, call, result], Sampling(tools=(LOOK_UP,))))
    _, called, given = fake.bodies("/api/chat")[0]["messages"]
    assert called["tool_calls"] == [{"function": {"name": "look_up", "arguments": {"on": "K2"}}}]
    assert given == {"role": "tool", "content": "8611", "tool_name": "look_up"}


@pytest.mark.parametrize("calls", ["x", [7], [{"function": 7}], [{"function": {"name": 7}}], None])
def test_calls_of_other_kinds_are_none(
    fake: FakeServer,  # noqa: F811
    caller: OllamaSession,
    calls: Any,
) -> None:
    message = {"role": "assistant", "content": "a", "tool_calls": calls}
    fake.answers["/api/chat"] = objects({"message": message, "done": False}, DONE)
    *chunks, last = caller.generate(ASKED, Sampling(tools=(LOOK_UP,)))
    assert [(chunk.text, chunk.tool_call) for chunk in chunks] == [("a", None)]
    assert last.usage is not None
    assert last.usage.finish_reason is FinishReason.STOP


def test_a_model_without_tools_is_refused_before_it_is_asked(fake: FakeServer) -> None:  # noqa: F811
    with load() as session, pytest.raises(BackendError, match="does not support tools"):
        session.generate(ASKED, Sampling(tools=(LOOK_UP,)))
    assert not fake.bodies("/api/chat")


def test_a_schema_is_sent_as_the_format(fake: FakeServer) -> None:  # noqa: F811
    with load() as session:
        list(session.generate(ASKED, Sampling(schema=SCHEMA)))
    assert fake.bodies("/api/chat")[0]["format"] == SCHEMA

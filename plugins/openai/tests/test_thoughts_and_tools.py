"""Thoughts and calls of tools, through a real llama-server that parses them by the template.

The models are of random weights and say the same each time; their templates are of the kinds that
llama.cpp knows by how they are built (``<think>``, ``<tool_call>`` with JSON).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import (
    ChunkKind,
    FinishReason,
    Message,
    Sampling,
    Settings,
    Tool,
)
from gemmahub.errors import GenerationFailed
from gemmahub.testing.model_writer import write_model
from plugins.openai.tests.conftest import address, only, started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Chunk, Prompt, Session
    from gemmahub.engines.program import Program
    from gemmahub_openai.backend import OpenAIBackend

BEGINS = "<start_of_turn>{{ message['role'] }}\n"
TURNS = BEGINS + "{{ message['content'] or '' }}"
THINKS = (  # llama.cpp learns the marks of a thought from how an earlier one is written
    "{{ bos_token }}{% for message in messages %}"
    + BEGINS
    + "{% if message['reasoning_content'] %}"
    "<think>{{ message['reasoning_content'] }}</think>{% endif %}{{ message['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n:"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    "{% endif %}"
)
THOUGHT = (":", "<think>", *"PLANIT", "</think>", *"yes!", "<end_of_turn>")
CALLS = (
    "{{ bos_token }}{% if tools %}<start_of_turn>system\n# Tools\n"
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<end_of_turn>\n{% endif %}"
    "{% for message in messages %}" + TURNS + "{% for call in message['tool_calls'] or [] %}"
    '<tool_call>\n{"name": "{{ call.function.name }}", "arguments": '
    "{{ call.function.arguments | tojson }}}\n</tool_call>{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n"
    "{{ ':' if tools and messages[-1]['role'] != 'tool' else '=' }}{% endif %}"
)
CALL = (
    *(":", "<tool_call>", "\n", '{"name": "look_up", "arguments": {"mountain": "K2"}}'),
    *("\n</tool_call>", "<end_of_turn>", "=", "high", "!", "<eos>"),
)
PARAMETERS = {
    "type": "object",
    "properties": {"mountain": {"type": "string"}},
    "required": ["mountain"],
}
TOOL = Tool("look_up", "Find the height of a mountain.", PARAMETERS)
HELLO = [Message("user", "hello")]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("speaking")
    write_model(folder / "thinks.gguf", template=THINKS, chain=THOUGHT)
    write_model(folder / "calls.gguf", template=CALLS, chain=CALL)
    found = started("--models-dir", folder, "--ctx-size", 1024)
    yield found
    found.stop()


@pytest.fixture
def open_model(backend: OpenAIBackend, program: Program, name_servers: Any) -> Any:
    name_servers(lab=address(program))
    return lambda name: backend.load(only(backend.served(5.0), f"lab://{name}"), Settings())


def said(session: Session, prompt: Prompt, **sampling: Any) -> tuple[str, str, list[Chunk]]:
    """The thought, the answer, and all chunks."""
    wanted = {"max_tokens": 64, "temperature": 0.0} | sampling
    chunks = list(session.generate(prompt, Sampling(**wanted)))
    thought = "".join(one.text for one in chunks if one.kind is ChunkKind.REASONING)
    return thought, "".join(one.text for one in chunks if one.kind is ChunkKind.ANSWER), chunks


def test_thoughts_are_switched_on_off_and_limited(open_model: Any) -> None:
    with open_model("thinks") as session:
        assert said(session, HELLO, thinking=True)[:2] == ("PLANIT", "yes!")
        assert said(session, HELLO, thinking=False)[:2] == ("", "yes!")
        assert said(session, HELLO, thinking=2)[:2] == ("PL", "yes!")
        with pytest.raises(GenerationFailed, match="does not support tools"):
            said(session, HELLO, tools=(TOOL,))


def test_a_tool_is_called_and_its_result_is_taken(open_model: Any) -> None:
    with open_model("calls") as session:
        _, text, chunks = said(session, HELLO, tools=(TOOL,))
        (call,) = [one.tool_call for one in chunks if one.tool_call]
        assert (call.name, call.values(), text) == ("look_up", {"mountain": "K2"}, "")
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.finish_reason is FinishReason.TOOL_CALLS
        talk = [
            *HELLO,
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", "8611", tool_call_id=call.id),
        ]
        _, text, chunks = said(session, talk, tools=(TOOL,))
        assert text == "high!"
        assert not any(one.tool_call for one in chunks)
        with pytest.raises(GenerationFailed, match="does not think"):
            said(session, HELLO, thinking=True)
